# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""The usual request in C: see core/usual.py. What each does is told in core/usual_python.py."""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.ref cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t

from core.kernels_native cimport (
    DIGITS,
    STATE,
    Head,
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
from core.standing_native cimport Directory, Slot, Standing, is_of

import msgspec

from core import usual_python
from core.body import DEPTH_MAX, decode_event, parse_one
from core.codec import opening
from core.errors import Rejected
from core.event import fault
from core.ids import event_id


cdef enum:
    TOGETHER = 64  # requests whose slots are fetched at once
    AHEAD = 2  # requests: a project's standing is fetched so early
    FRAMES = 10  # bytes of RESP around a header and a body, without their lengths
    LENGTH_FRAME = 22  # bytes of HTTP around a body's length, its header's name included
    BARS = 2  # after a project and a session in an entry's header

cdef frozenset JSON = usual_python.JSON
cdef Py_ssize_t ONES_MAX = usual_python.ONES_MAX
cdef Py_ssize_t OPENINGS_MAX = DEPTH_MAX
cdef bytes OPENS = opening("", "")[:-BARS]  # what an entry's header begins with
cdef tuple NO_EVENT = (msgspec.DecodeError, RecursionError)


cdef struct Moment:
    int64_t now_ms
    double now_s


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
    cdef bytes before, between, after  # of an answer

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
        answer,
    ):
        self.limits, self.types = limits, limits.event_types
        self.bytes_max = min(bytes_max, limits.event_bytes_max)
        self.found, self.decoy = found, decoy
        self.stamps, self.stamp = stamps, stamp
        self.bundle, self.failed = bundle, failed
        self.before, self.between, self.after = [text.encode("ascii") for text in answer]

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
                self.found.fetch_slot(hashes[at])
            # While one request is judged, what the next two need is on its way from memory.
            for at in range(count + AHEAD):
                if at < count:
                    self.found.fetch_standing(hashes[at], self.decoy)
                if at < AHEAD:
                    continue
                request = requests[start + at - AHEAD]
                try:
                    if not self.is_taken(request, hashes[at - AHEAD], now, middle, bundles, moment):
                        others.append(request)
                except Exception:  # said loudly; admission may know better
                    self.failed()
                    others.append(request)
        return others

    cdef Standing standing_of(self, bytes project, Py_hash_t hashed):
        """A project's, or the decoy."""
        cdef Slot *slot
        if project is None:
            return self.decoy
        slot = self.found.slot_of(project, hashed)
        if slot.standing is NULL:
            is_of(self.decoy, project)  # as long as it would take to find it
            return self.decoy
        return <Standing>slot.standing

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
        cdef bytes stamp
        stamp, timestamp_s = <tuple?>stamped
        if stamp is None or middle is None:
            raise TypeError("a header has all of its parts")
        identity = event.id
        if identity is None:
            mac = PyBytes_FromStringAndSize(<char *>digest, STATE)
            identity = event_id(standing.project, timestamp_s=timestamp_s, mac=mac)
        cdef Gathered gathered = bundles.get(standing.partition)
        if gathered is None or len(gathered.ones) >= ONES_MAX:
            gathered = <Gathered?>self.bundle(gathered, standing.partition, moment)
        one = request[0], identity, self.answer_to(identity, standing)
        cdef Py_ssize_t length = PyByteArray_GET_SIZE(gathered.wire)
        cdef Py_ssize_t amount = len(gathered.ones)
        cdef PyObject *count
        try:
            put_entry(gathered.wire, standing, middle, stamp, digest, body)
            gathered.ones.append(one)
            count = PyDict_GetItemWithError(gathered.events, standing)
            gathered.events[standing] = 1 if count is NULL else <object>count + 1
        except MemoryError:  # nothing else is raised here
            PyByteArray_Resize(gathered.wire, length)
            del gathered.ones[amount:]
            raise
        gathered.body_bytes += size
        return True

    cdef bytes answer_to(self, str identity, Standing standing):
        cdef Py_ssize_t own = check_ascii(identity)
        cdef Py_ssize_t before = PyBytes_GET_SIZE(self.before)
        cdef Py_ssize_t between = PyBytes_GET_SIZE(self.between)
        cdef Py_ssize_t after = PyBytes_GET_SIZE(self.after)
        cdef bytes answer = PyBytes_FromStringAndSize(
            NULL, before + own + between + standing.joined + after
        )
        cdef char *to = PyBytes_AS_STRING(answer)
        to = put(to, PyBytes_AS_STRING(self.before), before)
        to = put(to, <const char *>characters_of(identity), own)
        to = put(to, PyBytes_AS_STRING(self.between), between)
        to = put(to, standing.text + standing.own, standing.joined)
        put(to, PyBytes_AS_STRING(self.after), after)
        return answer

    cdef object plain_event(self, bytes body, Py_ssize_t size):
        """What core.body.parse_one would return; None: it may, or may raise."""
        cdef const unsigned char *text = <unsigned char *>PyBytes_AS_STRING(body)
        if not is_ascii(text, size):
            try:
                PyUnicode_DecodeUTF8(<const char *>text, size, NULL)
            except UnicodeDecodeError:
                return None
        if count_openings(text, size) > OPENINGS_MAX:
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


cdef inline bytes project_of(list requests, Py_ssize_t at):
    return (<Head?>part(requests[at], 1)).project


cdef inline object part(object whole, Py_ssize_t at):
    """One of a tuple's first three. Raises TypeError if there are less."""
    if len(<tuple?>whole) < 3:
        raise TypeError("a tuple of three at least")
    return (<tuple>whole)[at]


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
        PyBytes_GET_SIZE(OPENS) + standing.own + standing.joined + BARS
        + PyBytes_GET_SIZE(middle) + PyBytes_GET_SIZE(stamp) + DIGITS
    )
    PyByteArray_Resize(
        wire, before + FRAMES + digits_of(header) + header + digits_of(size) + size
    )
    cdef char *to = PyByteArray_AS_STRING(wire) + before
    to = put_number(put(to, b"$", 1), header)
    to = put(to, b"\r\n", 2)
    to = put(to, PyBytes_AS_STRING(OPENS), PyBytes_GET_SIZE(OPENS))
    to = put(put(to, standing.text, standing.own), b"|", 1)
    to = put(put(to, standing.text + standing.own, standing.joined), b"|", 1)
    to = put(to, PyBytes_AS_STRING(middle), PyBytes_GET_SIZE(middle))
    to = put(to, PyBytes_AS_STRING(stamp), PyBytes_GET_SIZE(stamp))
    put_hex(to, digest)
    to = put_number(put(to + DIGITS, b"\r\n$", 3), size)
    to = put(put(to, b"\r\n", 2), PyBytes_AS_STRING(body), size)
    put(to, b"\r\n", 2)
    return 0


def responses(bytes head not None, ids, list ones not None):
    cdef str prefix
    cdef Py_ssize_t number, at
    prefix, number = ids
    if number < 0:
        raise ValueError("a number is none or more")
    check_ascii(prefix)
    cdef list found = []
    for at in range(len(ones)):  # a comprehension's own `at` would be an object
        found.append(response_to(ones[at], head, prefix, number + at))
    return found


cdef bytes response_to(one, bytes head, str prefix, Py_ssize_t number):
    cdef bytes body = part(one, 2)
    if body is None:
        raise TypeError("an answer has a body")
    cdef Py_ssize_t size = PyBytes_GET_SIZE(body)
    cdef bytes whole = PyBytes_FromStringAndSize(
        NULL,
        PyBytes_GET_SIZE(head) + len(prefix) + digits_of(number) + LENGTH_FRAME + digits_of(size)
        + size,
    )
    cdef char *to = PyBytes_AS_STRING(whole)
    to = put(to, PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head))
    to = put_number(put(to, <const char *>characters_of(prefix), len(prefix)), number)
    to = put_number(put(to, b"\r\nContent-Length: ", LENGTH_FRAME - 4), size)
    to = put(to, b"\r\n\r\n", 4)
    put(to, PyBytes_AS_STRING(body), size)
    return whole
