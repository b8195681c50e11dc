"""The usual request in Python: see core/usual.py. What each does is told here; the native ones do
the same."""

from collections.abc import Callable
from typing import Any, NamedTuple

from core.body import Limits, parse_one
from core.codec import opening
from core.errors import Rejected
from core.head import Head
from core.ids import event_id
from core.standing_python import Directory, Standing

JSON = frozenset((b"application/json", b"application/json; charset=utf-8"))
ONES_MAX = 250  # requests in a bundle
Stamp = tuple[bytes, int]  # a timestamp as an entry's header has it, and its seconds


# Whose request it is, the event's id, and the answer's body. A tuple, since a named one takes twice
# as long to make; what its project needs is not in it, since that would be far away by then.
One = tuple[Any, str, bytes]
Request = tuple[Any, Head, bytes]  # whose it is


class Gathered:
    """Requests of one event each, of one partition, and what they are appended with."""

    __slots__ = ("body_bytes", "events", "ones", "partition", "wire")

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.ones: list[One] = []
        self.wire = bytearray()  # the entries' headers and bodies, each an argument in RESP
        self.events: dict[Standing, int] = {}
        self.body_bytes = 0


class Moment(NamedTuple):
    """What requests that are taken together have alike."""

    now_ms: int
    now_s: float  # by time.monotonic, as keys expire
    started_s: float  # by time.perf_counter
    middle: bytes  # of their entries' headers
    bundles: dict[int, Any]  # by partition: Gathered, as the judge's `bundle` makes them


class Judge:
    """Tells what is usual, by the rules of gateway/admission.py and in their order."""

    def __init__(
        self,
        limits: Limits,
        *,
        bytes_max: int,
        found: Directory,
        decoy: Standing,
        stamps: dict[bytes, Stamp],
        stamp: Callable[[bytes], Stamp | None],
        bundle: Callable[[Any, int, Moment], Any],
        failed: Callable[[], None],
        answer: tuple[str, str, str],
    ) -> None:
        """bytes_max: of a body. found: what there is; all other projects are held against `decoy`,
        whose requests are not usual. stamps: timestamps that count now; of others, `stamp` tells
        whether they do. bundle: a partition's next bundle, after one that is full; it changes no
        standing. failed: told of a bug, while it is handled. answer: what is before, between and
        after the event's id and the session's in an answer's body."""
        self._limits = limits
        self._bytes_max = min(bytes_max, limits.event_bytes_max)
        self._found = found
        self._decoy = decoy
        self._stamps = stamps
        self._stamp = stamp
        self._bundle = bundle
        self._failed = failed
        self._answer = answer

    def take(self, requests: list[Request], moment: Moment) -> list[Request]:
        """Put the usual ones into the moment's bundles; the others are returned, in their order."""
        others: list[Request] = []
        for request in requests:
            try:
                if not self._is_taken(request, moment):
                    others.append(request)
            except Exception:  # noqa: BLE001 - said loudly; admission may know better
                self._failed()
                others.append(request)
        return others

    def _is_taken(self, request: Request, moment: Moment) -> bool:
        """Put a request into a bundle; False: it is not usual, or not right.

        Up to the signature nothing may depend on whether there is such a project.
        """
        served, head, body = request
        project, timestamp, signature = head.project, head.timestamp, head.signature
        if project is None or timestamp is None or signature is None:
            return False
        stamped = self._stamps.get(timestamp) or self._stamp(timestamp)
        if (
            stamped is None
            or head.content_type not in JSON
            or head.content_encoding is not None
            or len(body) > self._bytes_max
            or not body.startswith(b"{")
        ):
            return False
        standing = self._found.get(project) or self._decoy
        mac = standing.key.proves(signature, timestamp, body)
        if mac is None:
            return False
        if standing.expires_s <= moment.now_s or standing.ends_ms <= moment.now_ms:
            return False
        try:
            event = parse_one(body, self._limits)
        except Rejected:  # admission says why
            return False
        stamp, timestamp_s = stamped
        identity = event.id or event_id(standing.project, timestamp_s=timestamp_s, mac=mac)
        gathered = moment.bundles.get(standing.partition)
        if gathered is None or len(gathered.ones) >= ONES_MAX:
            gathered = self._bundle(gathered, standing.partition, moment)
        before, between, after = self._answer
        answer = f"{before}{identity}{between}{standing.session}{after}".encode()
        begun = opening(standing.project, standing.session)
        header = begun + moment.middle + stamp + mac.hex().encode()
        length, amount = len(gathered.wire), len(gathered.ones)
        try:
            gathered.wire += b"$%d\r\n%b\r\n$%d\r\n" % (len(header), header, len(body))
            gathered.wire += body
            gathered.wire += b"\r\n"
            gathered.ones.append((served, identity, answer))
            gathered.events[standing] = gathered.events.get(standing, 0) + 1
        except MemoryError:  # all of it is there, or nothing; admission may find room
            del gathered.wire[length:], gathered.ones[amount:]
            raise
        gathered.body_bytes += len(body)
        return True


def responses(head: bytes, ids: tuple[str, int], ones: list[One]) -> list[bytes]:
    """The responses to these, in HTTP/1.1.

    head: up to where the request's id belongs. ids: what all requests' ids begin with, and the
    first one's number.
    """
    prefix, number = ids
    return [
        b"%b%b%d\r\nContent-Length: %d\r\n\r\n%b"
        % (head, prefix.encode("ascii"), number + at, len(answer), answer)
        for at, (_, _, answer) in enumerate(ones)
    ]
