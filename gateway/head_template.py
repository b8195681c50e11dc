"""A head that a client has sent before, but for what changes from one request to the next.

Requirements  A client's heads differ in project, timestamp, signature and length; each
              costs more to parse than a signature to verify. What is read must be what a parser
              reads.
Solution      The head that gateway/plain_head.py has let through is cut around those four values.
              Another of the same size, alike in all bytes around them and with nothing but digits
              and letters in them, is the same head with other values.
Cost          A head with one more or one less digit in its length is another one.
"""

from functools import lru_cache

from core.auth import SIGNATURE_BYTES
from core.head import Head
from core.kernels import HeadTemplate
from core.kernels_python import MARK

NAMES = (b"x-contox-project", b"x-contox-timestamp", b"x-contox-signature", b"content-length")
SHAPES_MAX = 1024
TEMPLATES_MAX = 4  # of one connection
Templates = dict[int, HeadTemplate]  # by the sizes of heads
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
    if len(signature) != SIGNATURE_BYTES or not signature.startswith(MARK):
        return None
    spans = []
    lower = raw.lower()
    for name in NAMES:
        start = lower.index(b"\r\n%b:" % name) + len(name) + 3
        end = raw.index(b"\r\n", start)
        spans.append((end - len(raw[start:end].lstrip(b" \t")), end))
    spans[2] = spans[2][0] + len(MARK), spans[2][1]
    shape = bytearray(raw)
    for start, end in spans:
        shape[start:end] = b"0" * (end - start)  # alike for all that differ in values
    return _template(bytes(shape), tuple(spans), head.content_type, head.content_encoding)


_template = lru_cache(SHAPES_MAX)(HeadTemplate)  # many connections, few kinds of client
