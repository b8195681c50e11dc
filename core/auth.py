"""Signing and verifying a request: HMAC-SHA256 (RFC 2104) over `timestamp "." body`.

    header := "sha256=" 64 lower-case hex digits, several of them separated by commas
    signed := X-Contox-Timestamp  "."  the body's bytes on the wire (compressed, if they are)

Everything here is bytes in, bytes out: header text that is not ASCII is compared, not decoded.

A key is kept as the two SHA-256 states that it begins with, inner and outer (RFC 2104, section 4):
copying those costs a third of keying anew, and half of what `hmac.HMAC` objects cost to copy.
"""

import hashlib
import hmac
from binascii import hexlify
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from core.errors import AuthFailure, unauthorized

PREFIX = b"sha256="
SIGNATURE_BYTES = len(PREFIX) + 64  # of a header with one signature: there is nothing to split
TIMESTAMP_DIGITS_MAX = 11  # Unix seconds reach 12 digits in the year 33658
BLOCK_BYTES = 64  # of SHA-256
IPAD, OPAD = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
COPIED_BYTES_MAX = 4096  # up to here joining costs less than a second update
SIGNATURES_MAX = 8  # in one header; each is compared with each live secret


class Key(NamedTuple):
    """A secret, taken in: SHA-256 states of the key XOR ipad, and of the key XOR opad."""

    inner: Any  # what hashlib.sha256 gives; its type has no public name
    outer: Any


def keyed(secret: str) -> Key:
    """The key of a secret, which serves any number of MACs."""
    key = secret.encode()
    if len(key) > BLOCK_BYTES:
        key = hashlib.sha256(key).digest()
    key = key.ljust(BLOCK_BYTES, b"\0")
    return Key(hashlib.sha256(key.translate(IPAD)), hashlib.sha256(key.translate(OPAD)))


def mac_of(key: Key, timestamp: bytes, body: bytes) -> bytes:
    """The 32 bytes that a request is signed with."""
    inner, outer = key[0].copy(), key[1].copy()
    if len(body) < COPIED_BYTES_MAX:
        inner.update(timestamp + b"." + body)
    else:
        inner.update(timestamp + b".")
        inner.update(body)
    outer.update(inner.digest())
    mac: bytes = outer.digest()
    return mac


def mac_over(key: Key, text: bytes) -> bytes:
    """The 32 bytes of HMAC-SHA256 over a text as it is."""
    inner, outer = key[0].copy(), key[1].copy()
    inner.update(text)
    outer.update(inner.digest())
    mac: bytes = outer.digest()
    return mac


def sign(secret: str, *, timestamp_s: int, body: bytes) -> str:
    """The X-Contox-Signature value for `body` as it goes over the wire."""
    return (PREFIX + mac_of(keyed(secret), b"%d" % timestamp_s, body).hex().encode()).decode()


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
        mac = mac_of(keys[0], timestamp, body)
        if hmac.compare_digest(signature, PREFIX + hexlify(mac)):
            return mac
        raise unauthorized(AuthFailure.BAD_SIGNATURE)
    parts = signature.split(b",", SIGNATURES_MAX)
    candidates = [part.strip() for part in parts[:SIGNATURES_MAX]]
    proven = None
    for key in keys:
        mac = mac_of(key, timestamp, body)
        expected = PREFIX + hexlify(mac)
        for candidate in candidates:
            if hmac.compare_digest(candidate, expected):
                proven = mac
    if proven is None:
        raise unauthorized(AuthFailure.BAD_SIGNATURE)
    return proven


def is_made_by(key: Key, mac: bytes, *, timestamp: bytes, body: bytes) -> bool:
    """Whether a MAC that `verify` has proved is this key's."""
    return hmac.compare_digest(mac_of(key, timestamp, body), mac)
