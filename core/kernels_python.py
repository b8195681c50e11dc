"""The kernels in Python: see core/kernels.py. What each does is told here; the native ones do the
same."""

import hashlib
import hmac
from binascii import hexlify
from collections.abc import Callable, Sequence
from itertools import pairwise
from operator import itemgetter
from struct import Struct

import msgspec

from core.words import IDENTIFIER, WORD_BYTES, is_name

MARK = b"sha256="  # what a signature begins with
BLOCK_BYTES = 64  # of SHA-256
IPAD, OPAD = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
COPIED_BYTES_MAX = 4096  # up to here joining costs less than a second update
END = b"\r\n\r\n"  # of a head
OPEN_BRACE = ord("{")
Four = tuple[bytes, bytes, bytes, bytes]
Span = tuple[int, int]


class Key:
    """A secret, taken in: SHA-256 states of the key XOR ipad, and of the key XOR opad.

    Copying those costs a third of keying anew (RFC 2104, section 4), and half of what `hmac.HMAC`
    objects cost to copy.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, block: bytes) -> None:
        """block: the key as RFC 2104 pads it, BLOCK_BYTES long. Raises ValueError if it is not."""
        if len(block) != BLOCK_BYTES:
            raise ValueError(f"a key's block has {BLOCK_BYTES} bytes")
        self._inner = hashlib.sha256(block.translate(IPAD))
        self._outer = hashlib.sha256(block.translate(OPAD))

    def mac(self, timestamp: bytes, body: bytes) -> bytes:
        """The 32 bytes that a request is signed with."""
        if len(body) < COPIED_BYTES_MAX:
            return self._over(timestamp + b"." + body)
        return self._over(timestamp + b".", body)

    def mac_over(self, text: bytes) -> bytes:
        """The 32 bytes of HMAC-SHA256 over a text as it is."""
        return self._over(text)

    def _over(self, *texts: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        for text in texts:
            inner.update(text)
        outer.update(inner.digest())
        return outer.digest()

    def proves(self, signature: bytes, timestamp: bytes, body: bytes) -> bytes | None:
        """The MAC of a request, if this text is its signature; compared in constant time."""
        mac = self.mac(timestamp, body)
        return mac if hmac.compare_digest(signature, MARK + hexlify(mac)) else None


class Head(msgspec.Struct, frozen=True, gc=False):
    """The raw header values of a request that admission reads, `None` where one is absent."""

    project: bytes | None = None
    timestamp: bytes | None = None
    signature: bytes | None = None
    content_type: bytes | None = None
    content_encoding: bytes | None = None


class HeadTemplate:
    """Reads heads that are like one that was read before, but for four values."""

    __slots__ = ("_alike", "_content_encoding", "_content_type", "_cut", "_pick")

    def __init__(
        self,
        raw: bytes,
        spans: Sequence[Span],
        content_type: bytes | None,
        content_encoding: bytes | None,
    ) -> None:
        """raw: a head, whatever its values. spans: where project, timestamp, the digits of the
        signature and the body's length begin and end in it; none is empty, and MARK is before the
        digits."""
        edges = [0, *sorted(edge for span in spans for edge in span), len(raw)]
        pieces = [raw[start:end] for start, end in pairwise(edges)]
        self._alike = tuple(pieces[::2])
        self._cut = Struct("".join(f"{len(piece)}s" for piece in pieces)).unpack_from
        self._pick: Callable[[tuple[bytes, ...]], Four] = itemgetter(
            *(edges.index(start) for start, _ in spans)
        )
        self._content_type = content_type
        self._content_encoding = content_encoding

    def read(self, buffer: bytes | bytearray, at: int) -> tuple[Head, int] | None:
        """The head that begins there, and how long its body is; None if it is another.

        buffer: must hold as many bytes from `at` as the template's own head had.
        """
        pieces = self._cut(buffer, at)
        if pieces[::2] != self._alike:
            return None
        project, timestamp, digits, length = self._pick(pieces)
        if not (
            (timestamp + length).isdigit()
            and digits.isalnum()
            and not project.translate(None, WORD_BYTES)
        ):
            return None
        head = Head(project, timestamp, MARK + digits, self._content_type, self._content_encoding)
        return head, int(length)


def only_request(
    templates: dict[int, HeadTemplate], buffer: bytes | bytearray, body_bytes_max: int
) -> tuple[Head, bytes] | None:
    """The request that a buffer consists of, whole and with nothing behind it.

    None: it is another, or its head is like none of the templates', or its body is larger.
    templates: of the sizes by which they are found.
    """
    size = buffer.find(END) + len(END)
    template = templates.get(size)
    if template is None or not isinstance(buffer, bytes):
        return None
    found = template.read(buffer, 0)
    if found is None or found[1] > body_bytes_max or size + found[1] != len(buffer):
        return None
    return found[0], buffer[size:]


def openings(text: bytes) -> int:
    """Braces and brackets that open, in strings too: nothing is nested deeper than there are."""
    others = text.replace(b"{", b"").replace(b"[", b"")  # more than twice as fast as text.count
    return len(text) - len(others)


def is_well_formed(name: str, payload: msgspec.Raw, identity: str | None) -> bool:
    """Whether an event's name and id are words of their lengths, and its payload is an object.

    payload: JSON text that begins with no white space.
    """
    if not is_name(name) or memoryview(payload)[0] != OPEN_BRACE:
        return False
    return identity is None or IDENTIFIER(identity) is not None
