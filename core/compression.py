"""Content-Encoding, undone under a limit: gzip (RFC 1952) and Zstandard (RFC 8878).

Output is asked for in bounded pieces and counted, so that a bomb costs no more memory than the
limit. A Zstandard frame also names the window it needs; a window over 8 MiB (the largest that RFC
8878 recommends to support) is refused. Members and frames may follow one another, as both RFCs
allow, but only so many: each costs a copy of all that follows it, and the smallest have 8 bytes.
"""

import sys
import zlib
from enum import StrEnum
from typing import Protocol

from core.errors import Reason, Rejected

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZSTD_WINDOW_LOG_MAX = 23
MEMBERS_MAX = 128  # gzip members or Zstandard frames in one body
GZIP_WINDOW_BITS = 31  # zlib's way to say: gzip framing, any window


class Encoding(StrEnum):
    """The encodings a body may have on the wire."""

    IDENTITY = "identity"
    GZIP = "gzip"
    ZSTD = "zstd"


class _Member(Protocol):
    """One gzip member or Zstandard frame being decoded."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /, max_length: int) -> bytes: ...


def parse_encoding(header: bytes | None) -> Encoding:
    """The encoding that a Content-Encoding header names.

    Raises Rejected (unsupported_media_type).
    """
    if not header:
        return Encoding.IDENTITY
    try:
        return Encoding(header.decode("ascii").lower())
    except ValueError:  # hostile input is an answer, not a crash
        raise Rejected(Reason.UNSUPPORTED_MEDIA_TYPE) from None


def decompress(body: bytes, encoding: Encoding, *, bytes_max: int) -> bytes:
    """The decoded body, at most `bytes_max` bytes.

    Raises Rejected: too_large if there is more, invalid_json if the encoding is broken or cut
    short.
    """
    if encoding is Encoding.IDENTITY:
        if len(body) > bytes_max:
            raise too_large(bytes_max)
        return body
    pieces: list[bytes] = []
    size = 0
    while body:
        if len(pieces) == MEMBERS_MAX:
            raise Rejected(Reason.TOO_LARGE, f"The {encoding} body has over {MEMBERS_MAX} parts")
        member = _new_member(encoding)
        try:
            piece = member.decompress(body, max_length=bytes_max - size + 1)
        except (zlib.error, zstd.ZstdError):
            raise Rejected(Reason.INVALID_JSON, f"The body is not valid {encoding}") from None
        size += len(piece)
        if size > bytes_max:
            raise too_large(bytes_max)
        if not member.eof:
            raise Rejected(Reason.INVALID_JSON, f"The {encoding} body is cut short")
        pieces.append(piece)
        body = member.unused_data
    return b"".join(pieces)


def too_large(bytes_max: int) -> Rejected:
    """The answer to a body whose decoded size is over the limit."""
    return Rejected(Reason.TOO_LARGE, f"The decoded body is over {bytes_max:,} bytes")


def _new_member(encoding: Encoding) -> _Member:
    if encoding is Encoding.GZIP:
        return zlib.decompressobj(GZIP_WINDOW_BITS)
    return zstd.ZstdDecompressor(
        options={zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG_MAX}
    )
