"""Users and their API keys, as gateways and commands need them: what they are, and their stores.

As in core/ports.py each port is a contract, with one suite in tests/contracts/.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple, Protocol

ADMIN, MEMBER = "admin", "member"
ACTIVE, DISABLED = "active", "disabled"
EMAIL_MAX = 254
EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[^\s@\x00-\x1f\x7f]+").fullmatch
NAME_MAX = 100
PASSWORD_MIN, PASSWORD_MAX = 12, 256  # characters


class User(NamedTuple):
    """A person who may sign in, and have API keys and projects."""

    id: str
    email: str  # as `email_of` gives it
    password_hash: str  # argon2id, in its own text form
    role: str  # "admin", who sees everything, or "member"
    status: str  # "active" or "disabled"
    created_ms: int
    updated_ms: int


class ApiKey(NamedTuple):
    """An API key, as far as it is kept."""

    id: str
    user_id: str
    name: str
    sha256: bytes  # core.api_keys.digest_of
    prefix: str
    created_ms: int
    last_used_ms: int | None = None


def email_of(text: str) -> str:
    """An address as it is kept and compared: in lower case, without blanks around it.

    Raises ValueError if it cannot be one.
    """
    email = text.strip().lower()
    if len(email) > EMAIL_MAX or not EMAIL(email) or not email.isprintable():
        raise ValueError("an email address is name@host, of at most 254 characters")
    return email


class UserStore(Protocol):
    """Users. Changes are durable when a call returns, but not yet known to the gateways' caches:
    gateway/api/account_cache.py does that."""

    async def create(self, user: User) -> None:
        """Add a user. Raises Conflict if the id or the address is taken, in whatever case."""

    async def find(self, email_or_id: str) -> User | None:
        """The user with this id, or with this address, in whatever case."""

    async def list(self) -> list[User]:
        """All users, oldest first."""

    async def set_password(self, user_id: str, password_hash: str, *, now_ms: int) -> None:
        """Replace a user's password; nothing happens to an unknown one. Each change of a user is
        later than the one before, by its `updated_ms`."""

    async def set_status(self, user_id: str, status: str, *, now_ms: int) -> None:
        """Set a user's status; nothing happens to an unknown one."""


class ApiKeyStore(Protocol):
    """API keys. As for users, the gateways' caches are told elsewhere."""

    async def add(self, key: ApiKey) -> None:
        """Keep a key. Raises Conflict if its id or digest is taken, or if there is no such user."""

    async def of_user(self, user_id: str) -> list[ApiKey]:
        """A user's keys, oldest first."""

    async def by_digest(self, sha256: bytes) -> ApiKey | None:
        """The key with this digest, whatever its user's status."""

    async def delete(self, key_id: str) -> None:
        """Forget a key; nothing happens if there is none."""

    async def used(self, times: Mapping[str, int], *, apart_ms: int) -> dict[str, int]:
        """Note when keys were last used, Unix ms by id; one that is gone is passed over.

        A time that is less than `apart_ms` after the one that is kept is not written. Returns what
        is kept now, of those that are there; `times` are at most 1,000.
        """
