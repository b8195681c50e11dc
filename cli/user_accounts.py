"""Users as commands handle them: made, disabled, given a password; and told to the gateways."""

import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from cli.errors import CliError
from core.errors import Unavailable
from core.ids import ENTROPY_BYTES, user_id
from core.ports import Conflict
from core.settings import read
from core.users import ACTIVE, ADMIN, ApiKey, User, email_of
from gateway.api.account_cache import AccountCache
from gateway.api.keys import new_key
from gateway.api.passwords import check_password, hash_of, new_password
from runtime.queue import QUEUE_ERRORS, open_queue
from store.engine import open_engine
from store.migrate import migrate_at_start
from store.users import SqlApiKeys, SqlUsers

FIRST_ADMIN = "admin@localhost"
FIRST_KEY = "first key"


class FirstAdmin(NamedTuple):
    """What is shown once, at the first start."""

    email: str
    password: str
    api_key: str


class UserAccounts(NamedTuple):
    """An open store of users, and the means to tell the gateways of a change.

    What changes a user returns whether every gateway knows by now; if the queue is away, they learn
    it when what they have cached expires.
    """

    users: SqlUsers
    keys: SqlApiKeys
    cache: AccountCache

    async def create(self, email: str, password: str, role: str) -> User:
        """A new user. Raises CliError for an address that is none, or taken, or a password that is
        not long enough."""
        now_ms = _now_ms()
        identity = user_id(now_ms, os.urandom(ENTROPY_BYTES))
        try:
            address = email_of(email)
        except ValueError as error:
            raise CliError(f"{email!r} cannot be used: {error}.") from None
        user = User(identity, address, _hashed(password), role, ACTIVE, now_ms, now_ms)
        try:
            await self.users.create(user)
        except Conflict:
            raise CliError(f"There is a user {address!r} already.") from None
        return user

    async def find(self, email_or_id: str) -> User:
        """The user. Raises CliError if there is none."""
        if email_or_id.isprintable() and (user := await self.users.find(email_or_id.strip())):
            return user
        raise CliError(f"There is no user {email_or_id!r}; list them with: contox-ingest user list")

    async def set_password(self, user: User, password: str, *, keep_keys: bool) -> bool:
        """Replace the password, which ends all sign-ins; and delete the keys, unless kept."""
        await self.users.set_password(user.id, _hashed(password), now_ms=_now_ms())
        told = await self._announce(user.id)
        while not keep_keys and (keys := await self.keys.of_user(user.id)):  # one may make another
            for key in keys:
                told = await self._delete(key) and told
        return told

    async def set_status(self, user: User, status: str) -> bool:
        """Disable a user, which stops sign-ins and keys; or let them in again."""
        await self.users.set_status(user.id, status, now_ms=_now_ms())
        return await self._announce(user.id)

    async def first_admin(self) -> FirstAdmin | None:
        """At a start without any user: an admin with a key; None if there are users."""
        if await self.users.list():
            return None
        password = new_password()
        user = await self.create(FIRST_ADMIN, password, ADMIN)
        text, key = new_key(user.id, FIRST_KEY, _now_ms())
        await self.keys.add(key)
        return FirstAdmin(user.email, password, text)

    async def _delete(self, key: ApiKey) -> bool:
        told = True
        try:
            await self.cache.refuse(key.sha256)
        except QUEUE_ERRORS:
            told = False
        await self.keys.delete(key.id)
        return told

    async def _announce(self, identity: str) -> bool:
        user = await self.users.find(identity)
        assert user is not None
        try:
            await self.cache.announce(user)
        except QUEUE_ERRORS:
            return False
        return True


@asynccontextmanager
async def open_users(environ: Mapping[str, str]) -> AsyncIterator[UserAccounts]:
    """The store of users that the environment names. Raises CliError, SettingError."""
    settings = read(environ)
    engine = open_engine(settings.database_url)
    queue = open_queue(settings.redis_url)
    try:
        await migrate_at_start(engine, wait_s=0)
        users, keys = SqlUsers(engine), SqlApiKeys(engine)
        yield UserAccounts(users, keys, AccountCache(queue, users, keys))
    except Unavailable as error:
        raise CliError(f"{error.sentence}; is CONTOX_DATABASE_URL right?") from None
    finally:
        await queue.aclose()
        await engine.dispose()


def _hashed(password: str) -> str:
    try:
        return hash_of(check_password(password))
    except ValueError as error:
        raise CliError(f"The password {error}.") from None


def _now_ms() -> int:
    return int(time.time() * 1000)
