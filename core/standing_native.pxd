# cython: language_level=3
"""What core/usual_native.pyx takes from core/standing_native.pyx without a detour through Python."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint32_t


cdef enum:
    TALLY_MAX = 66  # bytes: see core.standing_python
    OPENING_MAX = 104
    NAME_FRAME = 7  # bytes of RESP around a name, its length included, at most


cdef class Tally:
    cdef public int64_t seen
    cdef int size  # of the argument
    cdef int name_at
    cdef char argument[TALLY_MAX + NAME_FRAME]  # the name, in RESP


cdef class Standing:
    cdef uint32_t inner[8]  # of its key
    cdef uint32_t outer[8]
    cdef Tally own
    cdef readonly double expires_s
    cdef readonly int64_t ends_ms
    cdef readonly int partition
    cdef short size  # of the opening
    cdef short project_at
    cdef short session_at
    cdef char text[OPENING_MAX]


cdef struct Slot:
    Py_hash_t hash
    PyObject *standing  # NULL where there is none


cdef class Directory:
    cdef Slot *slots
    cdef Py_ssize_t mask  # of a hash: as many slots as a power of two, less one
    cdef Py_ssize_t used  # half of them, at most
    cdef Slot *slot_of(self, bytes project, Py_hash_t hashed) noexcept
    cdef void fetch_slot(self, Py_hash_t hashed) noexcept
    cdef void fetch_standing(self, Py_hash_t hashed, Standing decoy) noexcept
    cdef int grow(self) except -1
    cdef void let_go(self) noexcept


cdef void fetch_tally(Standing standing) noexcept
cdef bint is_of(Standing standing, bytes project) noexcept
