"""Identities: deterministic for events, random and time-ordered for the rest.

Requirements  A retry, a replay and a redelivery of one signed request must name the same event,
              with no table of what was seen; and keys must arrive in order, since that makes
              inserts cheap.
Solution      Derive the id from what was signed: time first, then a hash of project, MAC and index.
              The index is added to the hash, not hashed: a batch costs one hash, and its events
              sort in its order.
Cost          Two equal events without an `id`, signed in the same second, are one event. The ids of
              a batch tell which events came together.

    evt_   48 bits: signed timestamp, ms   80 bits: first of SHA-256(mac | project), plus the index
    sess_  48 bits: start, ms              80 bits: random (together a ULID)
    proj_  48 bits: creation, ms           80 bits: random
    user_  48 bits: creation, ms           80 bits: random
    key_   48 bits: creation, ms           80 bits: random

All 128 bits are written as 26 characters of Crockford's base32
(https://www.crockford.com/base32.html), as ULID does (https://github.com/ulid/spec).
"""

import hashlib
from functools import lru_cache

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PAIRS = [high + low for high in ALPHABET for low in ALPHABET]  # ten bits at a time
TIME_MS_MAX = (1 << 48) - 1
ENTROPY_BYTES = 10
TAILS = 1 << 8 * ENTROPY_BYTES


def crockford(time_ms: int, tail: bytes) -> str:
    """26 characters from 48 bits of time and 10 bytes; they sort as their numbers do."""
    high, low = int.from_bytes(tail[:5], "big"), int.from_bytes(tail[5:], "big")
    return (
        f"{_time_digits(time_ms)}"
        f"{PAIRS[high >> 30]}{PAIRS[high >> 20 & 1023]}"
        f"{PAIRS[high >> 10 & 1023]}{PAIRS[high & 1023]}"
        f"{PAIRS[low >> 30]}{PAIRS[low >> 20 & 1023]}"
        f"{PAIRS[low >> 10 & 1023]}{PAIRS[low & 1023]}"
    )


@lru_cache(maxsize=1024)
def _time_digits(time_ms: int) -> str:
    """The first ten of the 26 characters: many ids share their second."""
    return "".join([PAIRS[time_ms >> shift & 1023] for shift in range(40, -1, -10)])


def event_ids(project: str, *, timestamp_s: int, mac: bytes, count: int) -> list[str]:
    """The ids of a signed request's events, by their indexes, which are those without one's own.

    project: the project's id. mac: the 32 bytes computed over the request, never the header's text.
    Two requests of one second would have to be hashed within `count` of each other, of 2**80, to
    share an id.
    """
    digest = hashlib.sha256(mac + project.encode()).digest()
    first = int.from_bytes(digest[:ENTROPY_BYTES], "big")
    ids: list[str] = []
    while len(ids) < count:
        number = (first + len(ids)) % TAILS
        text = "evt_" + crockford(timestamp_s * 1000, number.to_bytes(ENTROPY_BYTES, "big"))
        stem, low = text[:-2], number % len(PAIRS)
        ids += [stem + pair for pair in PAIRS[low : low + count - len(ids)]]
    return ids


def event_id(project: str, *, timestamp_s: int, mac: bytes) -> str:
    """The same for a request of one event."""
    digest = hashlib.sha256(mac + project.encode()).digest()
    return "evt_" + crockford(timestamp_s * 1000, digest[:ENTROPY_BYTES])


def session_id(start_ms: int, entropy: bytes) -> str:
    """A new session's id; `entropy` is 10 random bytes."""
    return "sess_" + crockford(start_ms, entropy)


def project_id(created_ms: int, entropy: bytes) -> str:
    """A new project's id; `entropy` is 10 random bytes."""
    return "proj_" + crockford(created_ms, entropy)


def user_id(created_ms: int, entropy: bytes) -> str:
    """A new user's id; `entropy` is 10 random bytes."""
    return "user_" + crockford(created_ms, entropy)


def key_id(created_ms: int, entropy: bytes) -> str:
    """A new API key's id; `entropy` is 10 random bytes. It tells nothing of the key."""
    return "key_" + crockford(created_ms, entropy)


def time_ms_of(identifier: str) -> int:
    """The time (Unix ms) that an id of this module starts with.

    Raises ValueError if it is not one.
    """
    text = identifier.rpartition("_")[2]
    if len(text) != 26:
        raise ValueError(f"{identifier!r} is not an id with a time in it")
    number = 0
    for character in text:
        number = number * 32 + ALPHABET.index(character)
    return (number >> 80) & TIME_MS_MAX
