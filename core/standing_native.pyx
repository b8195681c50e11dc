# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""Standings in C: see core/usual.py. What each does is told in core/standing_python.py.

A standing is one piece of memory, which nothing else needs to be fetched for. It begins where the
processor's lines do; and since many are far apart, they are in pages as large as the system has
them: a small one must be looked for first, in memory that is far, too.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from libc.stdint cimport int64_t
from libc.stdlib cimport free
from libc.string cimport memchr, memcmp, memcpy, memset

from core.kernels_native cimport STATE, Key, characters_of, check_ascii, digits_of, put, put_number

from core import standing_python
from core.ledger import ACCEPTED, field


cdef extern from *:
    """
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>

    enum { LARGE_PAGE = 2 << 20 };

    #ifdef __SANITIZE_ADDRESS__
    enum { ALONE = 1 }; /* each place is of the heap, which knows its bounds and its end */
    #else
    enum { ALONE = 0 };
    #endif

    /* Zeros, from `free`'s heap; NULL where there is no memory. */
    static void *zeros(size_t size) {
        void *memory = NULL;
        if (size < LARGE_PAGE)
            return calloc(1, size);
        if (posix_memalign(&memory, LARGE_PAGE, size))
            return NULL;
    #ifdef MADV_HUGEPAGE
        (void)madvise(memory, size, MADV_HUGEPAGE); /* a wish: without it the pages are small */
    #endif
        return memset(memory, 0, size);
    }
    """
    enum:
        ALONE
        LARGE_PAGE
    void *zeros(size_t size) nogil
    void __builtin_prefetch(const void *at) nogil

cdef extern from "Python.h":
    unsigned long HAVE_GC "Py_TPFLAGS_HAVE_GC"
    ctypedef struct Type "PyTypeObject":
        PyObject *(*tp_alloc)(Type *, Py_ssize_t)
        void (*tp_free)(void *)

    PyObject *PyObject_Init(PyObject *memory, Type *kind) noexcept
    PyObject *PyErr_NoMemory() noexcept


cdef enum:
    SLOTS_MIN = 64
    LINE = 64  # bytes that memory gives at once
    PLACE = 256  # bytes that a standing has: lines, and a part of a page
    IDS = 62  # bytes that a project's and a session's id of ours have together
    ARGUMENT_FRAME = 5  # bytes of RESP around an argument, without its length

cdef bytes SUFFIX = field("", ACCEPTED).encode()  # what follows a project in a field's name

if (PROJECT_MAX, SESSION_MAX) != (
    standing_python.PROJECT_BYTES_MAX,
    standing_python.SESSION_BYTES_MAX,
):
    raise ImportError("core/standing_native.pyx has other bounds than core/standing_python.py")


@cython.final
@cython.no_gc
@cython.auto_pickle(False)  # it has a secret
cdef class Standing:
    def __cinit__(self, str project not None, Key nobody not None, *, int partition):
        self.own = check_id(project, PROJECT_MAX)
        memcpy(self.text, characters_of(project), self.own)
        self.partition = partition
        self.seen = 0
        self.end(nobody)

    def begin(
        self, str session not None, Key key not None, *, double expires_s, int64_t ends_ms
    ):
        self.joined = check_id(session, SESSION_MAX)
        memcpy(self.text + self.own, characters_of(session), self.joined)
        memcpy(self.inner, key.inner, STATE)
        memcpy(self.outer, key.outer, STATE)
        self.expires_s, self.ends_ms = expires_s, ends_ms

    def end(self, Key nobody not None):
        self.begin("", nobody, expires_s=standing_python.NEVER, ends_ms=0)

    @property
    def is_usual(self):
        return self.expires_s != 0

    @property
    def project(self):
        return self.text[:self.own].decode("ascii")

    @property
    def session(self):
        return self.text[self.own:self.own + self.joined].decode("ascii")

    @property
    def name(self):
        return field(self.project, ACCEPTED)


cdef union Place:
    Place *next  # that is free
    char memory[PLACE]


cdef Place *free_places = NULL  # the one that was freed last comes first


cdef PyObject *new_standing(Type *kind, Py_ssize_t _) noexcept:
    """Memory for one, in zeros. Raises MemoryError."""
    global free_places
    cdef Place *place
    cdef Py_ssize_t at
    if free_places is NULL:
        place = <Place *>zeros(PLACE if ALONE else LARGE_PAGE)
        if place is NULL:
            return PyErr_NoMemory()
        if ALONE:
            return PyObject_Init(<PyObject *>place, kind)
        for at in range(LARGE_PAGE // PLACE):
            free_standing(&place[at])
    place = free_places
    free_places = place.next
    memset(place, 0, PLACE)
    return PyObject_Init(<PyObject *>place, kind)


cdef void free_standing(void *memory) noexcept:
    """Keep it for the next one: there is as much as there ever were at once."""
    global free_places
    if ALONE:
        free(memory)
        return
    (<Place *>memory).next = free_places
    free_places = <Place *>memory


if Standing.__basicsize__ > PLACE or Standing.__flags__ & HAVE_GC:
    raise ImportError("a standing does not fit into its place")
(<Type *>Standing).tp_alloc, (<Type *>Standing).tp_free = new_standing, free_standing


cdef Py_ssize_t check_id(str text, Py_ssize_t bytes_max) except -1:
    """Its length. Raises ValueError if it cannot stand in an entry's header."""
    cdef Py_ssize_t size = check_ascii(text)
    if size > bytes_max or memchr(characters_of(text), c"|", size) is not NULL:
        raise ValueError("an id is short ASCII without a bar")
    return size


def note(list standings not None, list counts not None):
    cdef Py_ssize_t at
    if len(standings) != len(counts):
        raise ValueError("a count for each standing")
    for at in range(len(standings)):
        (<Standing?>standings[at]).seen = counts[at]


def counts_as_arguments(dict counts not None):
    cdef Py_ssize_t size = 0, number, name, suffix = PyBytes_GET_SIZE(SUFFIX)
    cdef Standing standing
    for key, count in counts.items():
        if type(count) is not int:  # it is read twice, and must be the same
            raise TypeError("a count is an int")
        standing, number = <Standing?>key, count
        if number < 0:
            raise ValueError("a count is none or more")
        name = standing.own + suffix
        size += ARGUMENT_FRAME + digits_of(name) + name
        size += ARGUMENT_FRAME + digits_of(digits_of(number)) + digits_of(number)
    cdef bytes arguments = PyBytes_FromStringAndSize(NULL, size)
    cdef char *to = PyBytes_AS_STRING(arguments)
    for key, count in counts.items():
        standing, number = <Standing>key, count
        to = put(put_number(put(to, b"$", 1), standing.own + suffix), b"\r\n", 2)
        to = put(put(to, standing.text, standing.own), PyBytes_AS_STRING(SUFFIX), suffix)
        to = put(put_number(put(to, b"\r\n$", 3), digits_of(number)), b"\r\n", 2)
        to = put(put_number(to, number), b"\r\n", 2)
    return arguments


@cython.final
@cython.no_gc
@cython.auto_pickle(False)
cdef class Directory:
    """A hash table with linear probing, whose slots can be fetched before they are looked at. The
    hash is the interpreter's, which nobody outside of the process can foretell."""
    def __cinit__(self):
        self.slots, self.mask, self.used = new_slots(SLOTS_MIN), SLOTS_MIN - 1, 0

    def __dealloc__(self):
        cdef Py_ssize_t at
        if self.slots is not NULL:
            for at in range(self.mask + 1):
                Py_XDECREF(self.slots[at].standing)
            free(self.slots)

    def __len__(self):
        return self.used

    def get(self, bytes project not None):
        cdef Slot *slot = self.slot_of(project, hash(project))
        return None if slot.standing is NULL else <object>slot.standing

    def put(self, Standing standing not None):
        if 2 * (self.used + 1) > self.mask:
            self.grow()
        cdef bytes project = standing.text[:standing.own]
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
        cdef Py_ssize_t at = hashed & self.mask
        while self.slots[at].standing is not NULL and self.slots[at].hash != hashed:
            at = (at + 1) & self.mask
        cdef PyObject *standing = self.slots[at].standing
        fetch(<PyObject *>decoy if standing is NULL else standing)

    cdef int grow(self) except -1:
        cdef Py_ssize_t size = self.mask + 1, at, to, mask = 2 * size - 1
        cdef Slot *slots = new_slots(2 * size)
        for at in range(size):
            if self.slots[at].standing is not NULL:
                to = self.slots[at].hash & mask
                while slots[to].standing is not NULL:
                    to = (to + 1) & mask
                slots[to] = self.slots[at]
        free(self.slots)
        self.slots, self.mask = slots, mask
        return 0


cdef Slot *new_slots(Py_ssize_t amount) except NULL:
    """Slots with nothing in them. Raises MemoryError."""
    cdef Slot *slots = <Slot *>zeros(amount * sizeof(Slot))
    if slots is NULL:
        raise MemoryError
    return slots


cdef bint is_of(Standing standing, bytes project) noexcept:
    """Whether a standing is this project's."""
    return PyBytes_GET_SIZE(project) == standing.own and not memcmp(
        PyBytes_AS_STRING(project), standing.text, standing.own
    )


cdef inline void fetch(PyObject *standing) noexcept:
    """Begin to fetch what there is of a standing."""
    cdef const char *memory = <const char *>standing
    cdef const char *end = (<Standing>standing).text + IDS
    while memory < end:
        __builtin_prefetch(memory)
        memory += LINE
