# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""The usual request in C: see core/usual.py. What each does is told in core/usual_python.py.

A standing and a tally are each one piece of memory, which nothing else needs to be fetched for.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcmp, memcpy

from core.kernels_native cimport (
    DIGITS,
    STATE,
    Head,
    Key,
    characters_of,
    check_ascii,
    count_openings,
    digits_of,
    prove,
    put,
    put_hex,
    put_number,
    well_formed,
)

import msgspec

from core import usual_python
from core.body import decode_event, parse_one
from core.codec import opening as opening_of
from core.errors import Rejected
from core.event import fault
from core.ids import event_id


cdef extern from *:
    void __builtin_prefetch(const void *at) nogil


cdef enum:
    TALLY_MAX = 66  # bytes: see core.usual_python
    OPENING_MAX = 104
    SLOTS_MIN = 64
    LINE = 64  # bytes that memory gives at once
    TOGETHER = 64  # projects that are fetched at once
    FRAMES = 10  # bytes of RESP around a header and a body, without their lengths
    ARGUMENTS_FRAME = 10  # the same of a name and a number
    NAME_FRAME = 7  # bytes of RESP around a name, its length included, at most
    LENGTH_FRAME = 22  # bytes of HTTP around a body's length, its header's name included
    DEPTH_MAX = 128  # see core.body

cdef frozenset JSON = usual_python.JSON
cdef Py_ssize_t ONES_MAX = usual_python.ONES_MAX
cdef tuple NO_EVENT = (msgspec.DecodeError, RecursionError)

if (TALLY_MAX, OPENING_MAX) != (usual_python.TALLY_BYTES_MAX, usual_python.OPENING_BYTES_MAX):
    raise ImportError("core/usual_native.pyx has other bounds than core/usual_python.py")


@cython.final
@cython.no_gc
@cython.auto_pickle(False)
cdef class Tally:
    cdef public int64_t seen
    cdef int size  # of the argument
    cdef int name_at
    cdef char argument[TALLY_MAX + NAME_FRAME]  # the name, in RESP

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
        size += tally.size + 5 + digits_of(digits_of(number)) + digits_of(number)
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


cdef struct Moment:
    int64_t now_ms
    double now_s


cdef struct Slot:
    Py_hash_t hash
    PyObject *standing  # NULL where there is none


@cython.final
@cython.no_gc
@cython.auto_pickle(False)
cdef class Directory:
    """A hash table with linear probing, whose slots can be fetched before they are looked at. The
    hash is the interpreter's, which nobody outside of the process can foretell."""
    cdef Slot *slots
    cdef Py_ssize_t mask  # of a hash: as many slots as a power of two, less one
    cdef Py_ssize_t used  # half of them, at most

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

    cdef Slot *place_of(self, Py_hash_t hashed) noexcept:
        """Where a project's slot most likely is."""
        return &self.slots[hashed & self.mask]

    cdef void fetch_standing(self, Py_hash_t hashed) noexcept:
        """Begin to fetch a project's standing, whose slot is here."""
        cdef Slot *slot = self.place_of(hashed)
        if slot.standing is not NULL:
            fetch(<char *>slot.standing, sizeof_standing)

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


cdef inline bint is_of(Standing standing, bytes project) noexcept:
    """Whether a standing is this project's."""
    cdef Py_ssize_t size = standing.session_at - 1 - standing.project_at
    return PyBytes_GET_SIZE(project) == size and not memcmp(
        PyBytes_AS_STRING(project), standing.text + standing.project_at, size
    )


cdef class Gathered:
    cdef readonly int partition
    cdef readonly list ones
    cdef readonly bytearray wire
    cdef readonly dict events
    cdef readonly Py_ssize_t body_bytes

    def __cinit__(self):
        self.ones, self.wire, self.events, self.body_bytes = [], bytearray(), {}, 0

    def __init__(self, int partition):
        self.partition = partition


@cython.final
@cython.auto_pickle(False)
cdef class Judge:
    cdef object limits, types, stamp, bundle, failed
    cdef Directory found
    cdef dict stamps
    cdef Standing decoy
    cdef Py_ssize_t bytes_max

    def __cinit__(
        self,
        limits,
        *,
        Py_ssize_t bytes_max,
        Directory found not None,
        Standing decoy not None,
        dict stamps not None,
        stamp,
        bundle,
        failed,
    ):
        self.limits, self.types, self.bytes_max = limits, limits.event_types, bytes_max
        self.found, self.decoy = found, decoy
        self.stamps, self.stamp = stamps, stamp
        self.bundle, self.failed = bundle, failed

    def take(self, list requests not None, moment):
        cdef list others = []
        cdef Py_hash_t hashes[TOGETHER]
        cdef Py_ssize_t start, at, count
        cdef Moment now
        now.now_ms, now.now_s = moment.now_ms, moment.now_s
        cdef bytes middle = moment.middle
        cdef dict bundles = moment.bundles
        cdef tuple request
        for start in range(0, len(requests), TOGETHER):
            count = min(TOGETHER, len(requests) - start)
            for at in range(count):
                hashes[at] = hash(project_of(requests, start + at))
                __builtin_prefetch(self.found.place_of(hashes[at]))
            # While one request is judged, what the next one needs is on its way from memory.
            for at in range(count + 2):
                if at < count:
                    self.found.fetch_standing(hashes[at])
                if 0 < at <= count:
                    self.fetch_tally(project_of(requests, start + at - 1), hashes[at - 1])
                if at < 2:
                    continue
                request = requests[start + at - 2]
                try:
                    if not self.is_taken(request, hashes[at - 2], now, middle, bundles, moment):
                        others.append(request)
                except Exception:
                    self.failed()
                    others.append(request)
        return others

    cdef Standing standing_of(self, bytes project, Py_hash_t hashed):
        """A project's, or the decoy."""
        cdef Slot *slot
        if project is None:
            return self.decoy
        slot = self.found.slot_of(project, hashed)
        return self.decoy if slot.standing is NULL else <Standing>slot.standing

    cdef void fetch_tally(self, bytes project, Py_hash_t hashed) noexcept:
        """Begin to fetch that of a project whose standing is here."""
        cdef Standing standing = self.standing_of(project, hashed)
        fetch(<char *><PyObject *>standing.own, sizeof_tally)

    cdef bint is_taken(
        self,
        tuple request,
        Py_hash_t hashed,
        Moment now,
        bytes middle,
        dict bundles,
        moment,
    ) except -1:
        cdef unsigned char digest[STATE]
        cdef Head head = <Head>request[1]
        cdef bytes body = request[2]
        cdef Standing standing = self.standing_of(head.project, hashed)
        cdef Py_ssize_t size
        if body is None:
            raise TypeError("a request has a body")
        if head.project is None or head.timestamp is None or head.signature is None:
            return False
        stamped = self.stamps.get(head.timestamp)
        if stamped is None:
            stamped = self.stamp(head.timestamp)
        size = PyBytes_GET_SIZE(body)
        if (
            stamped is None
            or head.content_type not in JSON
            or head.content_encoding is not None
            or size > self.bytes_max
            or size == 0
            or PyBytes_AS_STRING(body)[0] != c"{"
        ):
            return False
        if not prove(
            standing.inner, standing.outer, head.signature, head.timestamp, body, digest
        ):
            return False
        if standing.expires_s <= now.now_s or standing.ends_ms <= now.now_ms:
            return False
        try:
            event = self.plain_event(body, size)
            if event is None:
                event = parse_one(body, self.limits)
        except Rejected:
            return False
        cdef bytes mac = PyBytes_FromStringAndSize(<char *>digest, STATE)
        cdef bytes stamp
        stamp, timestamp_s = <tuple?>stamped
        if stamp is None or middle is None:
            raise TypeError("a header has all of its parts")
        identity = event.id
        if identity is None:
            identity = event_id(standing.project, timestamp_s=timestamp_s, mac=mac)
        cdef Gathered gathered = bundles.get(standing.partition)
        if gathered is None or len(gathered.ones) >= ONES_MAX:
            gathered = self.bundle(gathered, standing.partition, moment)
        put_entry(gathered.wire, standing, middle, stamp, digest, body)
        gathered.body_bytes += size
        gathered.ones.append((request[0], standing, identity, body, timestamp_s, mac))
        cdef PyObject *count = PyDict_GetItemWithError(gathered.events, standing.own)
        gathered.events[standing.own] = 1 if count is NULL else <object>count + 1
        return True

    cdef object plain_event(self, bytes body, Py_ssize_t size):
        """What core.body.parse_one would return; None: it may, or may raise."""
        cdef const unsigned char *text = <unsigned char *>PyBytes_AS_STRING(body)
        if not is_ascii(text, size):
            try:
                PyUnicode_DecodeUTF8(<const char *>text, size, NULL)
            except UnicodeDecodeError:
                return None
        if count_openings(text, size) > DEPTH_MAX:
            return None
        try:
            event = decode_event(body)
        except NO_EVENT:
            return None
        if not well_formed(event.event, event.payload, event.id):
            return None
        if (self.types or event.timestamp is not None) and fault(event, self.types) is not None:
            return None
        return event


cdef Py_ssize_t sizeof_standing = Standing.__basicsize__
cdef Py_ssize_t sizeof_tally = Tally.__basicsize__


cdef inline bytes project_of(list requests, Py_ssize_t at):
    return (<Head?>part(requests[at], 1)).project


cdef inline object part(object whole, Py_ssize_t at):
    """One of a tuple's first three. Raises TypeError if there are less."""
    if len(<tuple?>whole) < 3:
        raise TypeError("a tuple of three at least")
    return (<tuple>whole)[at]


cdef inline void fetch(const char *memory, Py_ssize_t size) noexcept:
    """Begin to fetch some memory."""
    cdef Py_ssize_t at
    for at in range(0, size, LINE):
        __builtin_prefetch(memory + at)
    __builtin_prefetch(memory + size - 1)


cdef inline bint is_ascii(const unsigned char *text, Py_ssize_t size) noexcept:
    cdef unsigned char some = 0  # a byte, so that many are looked at at once
    cdef Py_ssize_t at
    for at in range(size):
        some |= text[at]
    return some < 128


cdef int put_entry(
    bytearray wire,
    Standing standing,
    bytes middle,
    bytes stamp,
    const unsigned char *digest,
    bytes body,
) except -1:
    """Add an entry's header and body, each an argument in RESP."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(body), before = PyByteArray_GET_SIZE(wire)
    cdef Py_ssize_t header = (
        standing.size + PyBytes_GET_SIZE(middle) + PyBytes_GET_SIZE(stamp) + DIGITS
    )
    PyByteArray_Resize(
        wire, before + FRAMES + digits_of(header) + header + digits_of(size) + size
    )
    cdef char *to = PyByteArray_AS_STRING(wire) + before
    to = put_number(put(to, b"$", 1), header)
    to = put(to, b"\r\n", 2)
    to = put(to, standing.text, standing.size)
    to = put(to, PyBytes_AS_STRING(middle), PyBytes_GET_SIZE(middle))
    to = put(to, PyBytes_AS_STRING(stamp), PyBytes_GET_SIZE(stamp))
    put_hex(to, digest)
    to = put_number(put(to + DIGITS, b"\r\n$", 3), size)
    to = put(put(to, b"\r\n", 2), PyBytes_AS_STRING(body), size)
    put(to, b"\r\n", 2)
    return 0


def responses(bytes head not None, ids, texts, list ones not None):
    cdef str prefix, before, between, after
    cdef Py_ssize_t number, at, frame
    prefix, number = ids
    before, between, after = texts
    if number < 0:
        raise ValueError("a number is none or more")
    check_ascii(prefix)
    frame = check_ascii(before) + check_ascii(between) + check_ascii(after)
    return [
        response_to(ones[at], head, prefix, number + at, before, between, after, frame)
        for at in range(len(ones))
    ]


cdef bytes response_to(
    one, bytes head, str prefix, Py_ssize_t number, str before, str between, str after,
    Py_ssize_t frame,
):
    """One of them. frame: how long the three texts are."""
    cdef Standing standing = <Standing?>part(one, 1)
    cdef str identity = part(one, 2)
    cdef Py_ssize_t session = standing.size - 1 - standing.session_at
    cdef Py_ssize_t body = frame + check_ascii(identity) + session
    cdef bytes whole = PyBytes_FromStringAndSize(
        NULL,
        PyBytes_GET_SIZE(head) + len(prefix) + digits_of(number) + LENGTH_FRAME + digits_of(body)
        + body,
    )
    cdef char *to = PyBytes_AS_STRING(whole)
    to = put(to, PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head))
    to = put_number(put_text(to, prefix), number)
    to = put_number(put(to, b"\r\nContent-Length: ", LENGTH_FRAME - 4), body)
    to = put_text(put_text(put(to, b"\r\n\r\n", 4), before), identity)
    to = put(put_text(to, between), standing.text + standing.session_at, session)
    put_text(to, after)
    return whole


cdef inline char *put_text(char *to, str text) noexcept:
    """One that is ASCII."""
    return put(to, <const char *>characters_of(text), len(text))
