"""Signing and verifying a request: HMAC-SHA256 (RFC 2104) over `timestamp "." body`.

    header := "sha256=" 64 lower-case hex digits, several of them separated by commas
    signed := X-Contox-Timestamp  "."  the body's bytes on the wire (compressed, if they are)

Everything here is bytes in, bytes out: header text that is not ASCII is compared, not decoded.
"""

import hashlib
import hmac
from collections.abc import Sequence

from core.errors import AuthFailure, unauthorized

PREFIX = b"sha256="
TIMESTAMP_DIGITS_MAX = 11  # Unix seconds reach 12 digits in the year 33658
SIGNATURES_MAX = 8  # in one header; each is compared with each live secret


def keyed(secret: str) -> hmac.HMAC:
    """An HMAC state that has taken in the key; copying it costs half of keying a new one."""
    return hmac.new(secret.encode(), digestmod=hashlib.sha256)


def mac_of(key: hmac.HMAC, timestamp: bytes, body: bytes) -> bytes:
    """The 32 bytes that a request is signed with."""
    state = key.copy()
    state.update(timestamp + b".")
    state.update(body)
    return state.digest()


def sign(secret: str, *, timestamp_s: int, body: bytes) -> str:
    """The X-Contox-Signature value for `body` as it goes over the wire."""
    return (PREFIX + mac_of(keyed(secret), b"%d" % timestamp_s, body).hex().encode()).decode()


def parse_timestamp(timestamp: bytes, *, now_s: int, window_s: int) -> int:
    """Unix seconds from the header; ASCII digits only, at most `window_s` from `now_s` either way.

    Raises Rejected (unauthorized).
    """
    if not timestamp.isdigit() or len(timestamp) > TIMESTAMP_DIGITS_MAX:
        raise unauthorized(AuthFailure.BAD_TIMESTAMP)
    timestamp_s = int(timestamp)
    if abs(now_s - timestamp_s) > window_s:
        raise unauthorized(AuthFailure.OUTSIDE_WINDOW)
    return timestamp_s


def verify(keys: Sequence[hmac.HMAC], *, timestamp: bytes, body: bytes, signature: bytes) -> bytes:
    """The MAC (32 bytes) that the header's signature proves, by any of `keys`.

    keys: the project's live secrets as `keyed` gives them, newest first; never empty.
    Every signature is compared with every key, in constant time and without an early exit, so
    that the time taken tells neither which one matched nor how far.
    Raises Rejected (unauthorized).
    """
    candidates = [part.strip() for part in signature.split(b",", SIGNATURES_MAX)][:SIGNATURES_MAX]
    proven = None
    for key in keys:
        mac = mac_of(key, timestamp, body)
        expected = PREFIX + mac.hex().encode()
        for candidate in candidates:
            if hmac.compare_digest(candidate, expected):
                proven = mac
    if proven is None:
        raise unauthorized(AuthFailure.BAD_SIGNATURE)
    return proven
