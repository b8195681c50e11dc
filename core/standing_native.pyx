# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""Standings in C: see core/usual.py. What each does is told in core/standing_python.py.

A standing and a tally are each one piece of memory, which nothing else needs to be fetched for.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport int64_t
from libc.string cimport memcmp, memcpy

from core.kernels_native cimport STATE, Key, characters_of, check_ascii, digits_of, put, put_number

from core import standing_python
from core.codec import opening as opening_of


cdef extern from *:
    void __builtin_prefetch(const void *at) nogil


cdef enum:
    SLOTS_MIN = 64
    LINE = 64  # bytes that memory gives at once
    COUNT_FRAME = 5  # bytes of RESP around a number, without its length

if (TALLY_MAX, OPENING_MAX) != (standing_python.TALLY_BYTES_MAX, standing_python.OPENING_BYTES_MAX):
    raise ImportError("core/standing_native.pyx has other bounds than core/standing_python.py")


@cython.final
@cython.no_gc
@cython.auto_pickle(False)
cdef class Tally:
    def __cinit__(self, str name not None):
        cdef Py_ssize_t length = check_ascii(name)
        if length > TALLY_MAX:
            raise ValueError("a field's name is short ASCII")
        cdef char *to = put_number(put(self.argument, b"$", 1), length)
        to = put(to, b"\r\n", 2)
        self.name_at = to - self.argument
        to = put(put(to, <const char *>characters_of(name), length), b"\r\n", 2)
        self.size = to - self.argument
        self.seen = 0

    @property
    def name(self):
        return self.argument[self.name_at:self.size - 2].decode("ascii")


def note(list tallies not None, list counts not None):
    cdef Py_ssize_t at
    if len(tallies) != len(counts):
        raise ValueError("a count for each tally")
    for at in range(len(tallies)):
        (<Tally?>tallies[at]).seen = counts[at]


def counts_as_arguments(dict counts not None):
    cdef Py_ssize_t size = 0, number
    cdef Tally tally
    for key, count in counts.items():
        if type(count) is not int:  # it is read twice, and must be the same
            raise TypeError("a count is an int")
        tally, number = <Tally?>key, count
        if number < 0:
            raise ValueError("a count is none or more")
        size += tally.size + COUNT_FRAME + digits_of(digits_of(number)) + digits_of(number)
    cdef bytes arguments = PyBytes_FromStringAndSize(NULL, size)
    cdef char *to = PyBytes_AS_STRING(arguments)
    for key, count in counts.items():
        tally, number = <Tally>key, count
        to = put(put(to, tally.argument, tally.size), b"$", 1)
        to = put(put_number(to, digits_of(number)), b"\r\n", 2)
        to = put(put_number(to, number), b"\r\n", 2)
    return arguments


@cython.final
@cython.no_gc
@cython.auto_pickle(False)  # it has a secret
cdef class Standing:
    def __cinit__(
        self,
        str project not None,
        str session not None,
        Key key not None,
        Tally tally not None,
        *,
        int partition,
        double expires_s,
        int64_t ends_ms,
    ):
        cdef bytes opening = opening_of(project, session)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(opening)
        if size > OPENING_MAX:
            raise ValueError("ids are short ASCII")
        if opening.count(b"|") != standing_python.BARS:
            raise ValueError("an id has no bar")
        self.session_at = size - 1 - check_ascii(session)
        self.project_at = self.session_at - 1 - check_ascii(project)
        self.size = size
        memcpy(self.text, PyBytes_AS_STRING(opening), size)
        memcpy(self.inner, key.inner, STATE)
        memcpy(self.outer, key.outer, STATE)
        self.own, self.partition = tally, partition
        self.expires_s, self.ends_ms = expires_s, ends_ms

    @property
    def opening(self):
        return self.text[:self.size]

    @property
    def project(self):
        return self.text[self.project_at:self.session_at - 1].decode("ascii")

    @property
    def session(self):
        return self.text[self.session_at:self.size - 1].decode("ascii")

    @property
    def tally(self):
        return self.own


@cython.final
@cython.no_gc
@cython.auto_pickle(False)
cdef class Directory:
    """A hash table with linear probing, whose slots can be fetched before they are looked at. The
    hash is the interpreter's, which nobody outside of the process can foretell."""
    def __cinit__(self):
        self.slots, self.mask, self.used = new_slots(SLOTS_MIN), SLOTS_MIN - 1, 0

    def __dealloc__(self):
        if self.slots is not NULL:
            self.let_go()

    def __len__(self):
        return self.used

    def get(self, bytes project not None):
        cdef Slot *slot = self.slot_of(project, hash(project))
        return None if slot.standing is NULL else <object>slot.standing

    def put(self, Standing standing not None):
        if 2 * (self.used + 1) > self.mask:
            self.grow()
        cdef bytes project = standing.text[standing.project_at:standing.session_at - 1]
        cdef Slot *slot = self.slot_of(project, hash(project))
        cdef PyObject *before = slot.standing
        Py_INCREF(standing)
        slot.hash, slot.standing = hash(project), <PyObject *>standing
        if before is NULL:
            self.used += 1
        Py_XDECREF(before)

    def drop(self, bytes project not None):
        cdef Slot *hole = self.slot_of(project, hash(project))
        cdef PyObject *dropped = hole.standing
        cdef Py_ssize_t at, from_hole, from_home
        if dropped is NULL:
            return
        at = hole - self.slots
        while True:  # whatever was pushed on past the hole comes back, and leaves the next one
            at = (at + 1) & self.mask
            if self.slots[at].standing is NULL:
                break
            from_hole = (at - (hole - self.slots)) & self.mask
            from_home = (at - self.slots[at].hash) & self.mask
            if from_home >= from_hole:
                hole[0] = self.slots[at]
                hole = &self.slots[at]
        hole.standing = NULL
        self.used -= 1
        Py_XDECREF(dropped)

    def clear(self):
        cdef Slot *slots = new_slots(SLOTS_MIN)
        self.let_go()
        self.slots, self.mask, self.used = slots, SLOTS_MIN - 1, 0

    cdef Slot *slot_of(self, bytes project, Py_hash_t hashed) noexcept:
        """A project's slot, or the one where it belongs."""
        cdef Slot *slot
        cdef Py_ssize_t at = hashed & self.mask
        while True:
            slot = &self.slots[at]
            if slot.standing is NULL:
                return slot
            if slot.hash == hashed and is_of(<Standing>slot.standing, project):
                return slot
            at = (at + 1) & self.mask

    cdef void fetch_slot(self, Py_hash_t hashed) noexcept:
        """Begin to fetch the slot where a project most likely is."""
        __builtin_prefetch(&self.slots[hashed & self.mask])

    cdef void fetch_standing(self, Py_hash_t hashed, Standing decoy) noexcept:
        """The same of a project's standing, whose slot is here; or of the decoy."""
        cdef PyObject *standing = self.slots[hashed & self.mask].standing
        if standing is NULL:
            standing = <PyObject *>decoy
        fetch(<char *>standing, sizeof_standing)

    cdef int grow(self) except -1:
        cdef Py_ssize_t size = self.mask + 1, at, to, mask = 2 * size - 1
        cdef Slot *slots = new_slots(2 * size)
        for at in range(size):
            if self.slots[at].standing is not NULL:
                to = self.slots[at].hash & mask
                while slots[to].standing is not NULL:
                    to = (to + 1) & mask
                slots[to] = self.slots[at]
        PyMem_Free(self.slots)
        self.slots, self.mask = slots, mask
        return 0

    cdef void let_go(self) noexcept:
        """Free the slots, with what they hold."""
        cdef Py_ssize_t at
        for at in range(self.mask + 1):
            Py_XDECREF(self.slots[at].standing)
        PyMem_Free(self.slots)


cdef Slot *new_slots(Py_ssize_t amount) except NULL:
    """Slots with nothing in them. Raises MemoryError."""
    cdef Slot *slots = <Slot *>PyMem_Calloc(amount, sizeof(Slot))
    if slots is NULL:
        raise MemoryError
    return slots


cdef bint is_of(Standing standing, bytes project) noexcept:
    """Whether a standing is this project's."""
    cdef Py_ssize_t size = standing.session_at - 1 - standing.project_at
    return PyBytes_GET_SIZE(project) == size and not memcmp(
        PyBytes_AS_STRING(project), standing.text + standing.project_at, size
    )


cdef Py_ssize_t sizeof_standing = Standing.__basicsize__
cdef Py_ssize_t sizeof_tally = Tally.__basicsize__


cdef inline void fetch(const char *memory, Py_ssize_t size) noexcept:
    """Begin to fetch some memory."""
    cdef Py_ssize_t at
    for at in range(0, size, LINE):
        __builtin_prefetch(memory + at)
    __builtin_prefetch(memory + size - 1)


cdef void fetch_tally(Standing standing) noexcept:
    """Begin to fetch that of a standing, which is here."""
    fetch(<char *><PyObject *>standing.own, sizeof_tally)
