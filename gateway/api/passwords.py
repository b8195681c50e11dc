"""Passwords: argon2id (RFC 9106), hashed on threads, a few at a time.

The costs are the least that OWASP's Password Storage Cheat Sheet recommends: 19 MiB and two passes,
about 50 ms of a core, since this host has events to take. CALLS_MAX bounds what sign-ins can take
of memory and cores; who waits behind WAITING_MAX others is asked to come again.
"""

import asyncio
import base64
import os
import secrets
from typing import TYPE_CHECKING

from core.errors import Reason, Unavailable
from core.users import PASSWORD_MAX, PASSWORD_MIN

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MEMORY_KIB = 19 << 10
PASSES = 2
LANES = 1
CALLS_MAX = 2  # at once
WAITING_MAX = 32


def _base64(random_bytes: int) -> str:
    return base64.b64encode(os.urandom(random_bytes)).decode().rstrip("=")


# What nobody's password matches, at the price of one that somebody's might.
DECOY = f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${_base64(16)}${_base64(32)}"


class Passwords:
    """Hashing beside the loop. One per process."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(CALLS_MAX)
        self._waiting = 0

    async def match(self, password: str, password_hash: str | None) -> bool:
        """Whether the password is the one of the hash; None costs the same and is never so.

        Raises Unavailable (overloaded) if too many wait already.
        """
        if self._waiting >= WAITING_MAX:
            raise Unavailable(Reason.OVERLOADED)
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(_match, password, password_hash or DECOY)
        finally:
            self._waiting -= 1


def hash_of(password: str) -> str:
    """The text that a password is kept as. Blocks for about 50 ms."""
    return _hasher().hash(password)


def new_password() -> str:
    """A password that cannot be guessed: 24 characters, 144 random bits."""
    return secrets.token_urlsafe(18)


def check_password(text: str) -> str:
    """The password, if it is one. Raises ValueError with the rest of a sentence."""
    if not PASSWORD_MIN <= len(text) <= PASSWORD_MAX or not text.isprintable():
        raise ValueError(f"must be {PASSWORD_MIN} to {PASSWORD_MAX} printable characters")
    return text


def _match(password: str, password_hash: str) -> bool:
    from argon2.exceptions import VerifyMismatchError  # noqa: PLC0415 - see `_hasher`

    try:
        return _hasher().verify(password_hash, password)
    except VerifyMismatchError:
        return False


def _hasher() -> "PasswordHasher":
    """Imported here: it takes a tenth of a second, which a start need not wait for."""
    from argon2 import PasswordHasher  # noqa: PLC0415

    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
