"""Signing and verifying a request: HMAC-SHA256 (RFC 2104) over `timestamp "." body`.

    header := "sha256=" 64 lower-case hex digits, several of them separated by commas
    signed := X-Contox-Timestamp  "."  the body's bytes on the wire (compressed, if they are)

Everything here is bytes in, bytes out: header text that is not ASCII is compared, not decoded.

A key is kept as the two SHA-256 states that it begins with (RFC 2104, section 4): see
core.kernels_python.Key.
"""

import hashlib
import hmac
from binascii import hexlify
from collections.abc import Sequence
from functools import lru_cache

from core.errors import AuthFailure, unauthorized
from core.kernels import Key
from core.kernels_python import BLOCK_BYTES, MARK

SIGNATURE_BYTES = len(MARK) + 64  # of a header with one signature: there is nothing to split
TIMESTAMP_DIGITS_MAX = 11  # Unix seconds reach 12 digits in the year 33658
SIGNATURES_MAX = 8  # in one header; each is compared with each live secret


def keyed(secret: str) -> Key:
    """The key of a secret, which serves any number of MACs."""
    key = secret.encode()
    if len(key) > BLOCK_BYTES:
        key = hashlib.sha256(key).digest()
    return Key(key.ljust(BLOCK_BYTES, b"\0"))


def sign(secret: str, *, timestamp_s: int, body: bytes) -> str:
    """The X-Contox-Signature value for `body` as it goes over the wire."""
    return (MARK + keyed(secret).mac(b"%d" % timestamp_s, body).hex().encode()).decode()


def parse_timestamp(timestamp: bytes, *, now_s: int, window_s: int) -> int:
    """Unix seconds from the header; ASCII digits only, at most `window_s` from `now_s` either way.

    Raises Rejected (unauthorized).
    """
    timestamp_s = _seconds(timestamp)
    if abs(now_s - timestamp_s) > window_s:
        raise unauthorized(AuthFailure.OUTSIDE_WINDOW)
    return timestamp_s


@lru_cache(1024)  # within a second they are alike
def _seconds(timestamp: bytes) -> int:
    if not timestamp.isdigit() or len(timestamp) > TIMESTAMP_DIGITS_MAX:
        raise unauthorized(AuthFailure.BAD_TIMESTAMP)
    return int(timestamp)


def verify(keys: Sequence[Key], *, timestamp: bytes, body: bytes, signature: bytes) -> bytes:
    """The MAC (32 bytes) that the header's signature proves, by any of `keys`.

    keys: the project's live secrets as `keyed` gives them, newest first; never empty.
    Every signature is compared with every key, in constant time and without an early exit, so
    that the time taken tells neither which one matched nor how far.
    Raises Rejected (unauthorized).
    """
    if len(keys) == 1 and len(signature) == SIGNATURE_BYTES:  # as it mostly is
        proven = keys[0].proves(signature, timestamp, body)
        if proven is None:
            raise unauthorized(AuthFailure.BAD_SIGNATURE)
        return proven
    parts = signature.split(b",", SIGNATURES_MAX)
    candidates = [part.strip() for part in parts[:SIGNATURES_MAX]]
    proven = None
    for key in keys:
        mac = key.mac(timestamp, body)
        expected = MARK + hexlify(mac)
        for candidate in candidates:
            if hmac.compare_digest(candidate, expected):
                proven = mac
    if proven is None:
        raise unauthorized(AuthFailure.BAD_SIGNATURE)
    return proven


def is_made_by(key: Key, mac: bytes, *, timestamp: bytes, body: bytes) -> bool:
    """Whether a MAC that `verify` has proved is this key's."""
    return hmac.compare_digest(key.mac(timestamp, body), mac)
