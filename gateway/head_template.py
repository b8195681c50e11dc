"""A head that a client has sent before, but for what changes from one request to the next.

Requirements  A client's heads differ in project, timestamp, signature and length; each
              costs more to parse than a signature to verify. What is read must be what a parser
              reads.
Solution      The head that gateway/plain_head.py has let through is cut around those four values.
              Another of the same size, alike in all bytes around them and with nothing but digits
              and letters in them, is the same head with other values.
Cost          A head with one more or one less digit in its length is another one.
"""

import string
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import pairwise
from operator import itemgetter
from struct import Struct

from core.auth import PREFIX, SIGNATURE_BYTES
from core.head import Head

NAMES = (b"x-contox-project", b"x-contox-timestamp", b"x-contox-signature", b"content-length")
WORD_BYTES = f"{string.ascii_letters}{string.digits}_.:-".encode()
SHAPES_MAX = 1024
TEMPLATES_MAX = 4  # of one connection
Four = tuple[bytes, bytes, bytes, bytes]


class HeadTemplate:
    """Reads heads that are like one that was read before."""

    __slots__ = ("_alike", "_content_encoding", "_content_type", "_cut", "_pick")

    def __init__(
        self,
        alike: tuple[bytes, ...],
        cut: str,
        at: tuple[int, ...],
        content_type: bytes | None,
        content_encoding: bytes | None,
    ) -> None:
        """alike: what is around the values. cut: of all pieces, as struct has it. at: the index of
        each value among them, in the order of NAMES."""
        self._alike = alike
        self._cut = Struct(cut).unpack_from
        self._pick: Callable[[tuple[bytes, ...]], Four] = itemgetter(*at)
        self._content_type = content_type
        self._content_encoding = content_encoding

    def read(self, buffer: bytes | bytearray, at: int) -> tuple[Head, int] | None:
        """The head that begins there, and how long its body is; None if it is another.

        buffer: must hold as many bytes from `at` as the template's own head had.
        """
        pieces = self._cut(buffer, at)
        if pieces[::2] != self._alike:
            return None
        project, timestamp, digest, length = self._pick(pieces)
        if not (
            (timestamp + length).isdigit()
            and digest.isalnum()
            and project
            and not project.translate(None, WORD_BYTES)
        ):
            return None
        signature = PREFIX + digest
        return (
            Head(project, timestamp, signature, self._content_type, self._content_encoding),
            int(length),
        )


Templates = Mapping[int, HeadTemplate]  # by the sizes of heads
NONE: Templates = {}


def with_one_more(templates: Templates, raw: bytes, head: Head) -> Templates:
    """A connection's templates, with one for heads like this, if there is one and room for it."""
    if len(raw) in templates or len(templates) >= TEMPLATES_MAX:
        return templates
    template = template_of(raw, head)
    return templates if template is None else {**templates, len(raw): template}


def template_of(raw: bytes, head: Head) -> HeadTemplate | None:
    """What reads heads like this one; None if there is none.

    raw: the bytes that `head` was read from, and nothing else.
    """
    signature = head.signature
    if not head.project or not head.timestamp or not signature:
        return None
    if len(signature) != SIGNATURE_BYTES or not signature.startswith(PREFIX):
        return None
    spans = []
    lower = raw.lower()
    for name in NAMES:
        start = lower.index(b"\r\n%b:" % name) + len(name) + 3
        end = raw.index(b"\r\n", start)
        spans.append((end - len(raw[start:end].lstrip(b" \t")), end))
    spans[2] = spans[2][0] + len(PREFIX), spans[2][1]
    edges = [0, *sorted(edge for span in spans for edge in span), len(raw)]
    pieces = [raw[start:end] for start, end in pairwise(edges)]
    return _template(
        tuple(pieces[::2]),
        "".join(f"{len(piece)}s" for piece in pieces),
        tuple(edges.index(start) for start, _ in spans),
        head.content_type,
        head.content_encoding,
    )


_template = lru_cache(SHAPES_MAX)(HeadTemplate)  # many connections, few kinds of client
