# cython: language_level=3
"""What core/usual_native.pyx takes from core/standing_native.pyx without a detour through Python."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint32_t


cdef enum:
    PROJECT_MAX = 64  # bytes: see core.standing_python
    SESSION_MAX = 40


cdef class Standing:
    cdef uint32_t inner[8]  # of its key
    cdef uint32_t outer[8]
    cdef public int64_t seen
    cdef readonly double expires_s
    cdef readonly int64_t ends_ms
    cdef readonly int partition
    cdef short own  # bytes of the project's id
    cdef short joined  # of the session's
    cdef char text[PROJECT_MAX + SESSION_MAX]  # both


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


cdef bint is_of(Standing standing, bytes project) noexcept
