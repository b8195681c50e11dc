"""The first admin, who is made once; and a new password, which leaves nothing open."""

import pytest
from redis.asyncio import Redis

from cli.user_accounts import FIRST_ADMIN, open_users
from core.api_keys import digest_of, is_key
from gateway.api.keys import new_key
from tests.cli.conftest import Store


async def test_first_admin(store: Store) -> None:
    """A store without users gets an admin with a password and a key; one that has any gets none."""
    async with open_users(store.environ) as accounts:
        admin = await accounts.first_admin()
        assert admin is not None
        assert (admin.email, len(admin.password)) == (FIRST_ADMIN, 24)
        assert is_key(admin.api_key)
        user = await accounts.find(FIRST_ADMIN)
        assert (user.role, user.status) == ("admin", "active")
        (key,) = await accounts.keys.of_user(user.id)
        assert (key.sha256, key.name) == (digest_of(admin.api_key), "first key")
        assert await accounts.first_admin() is None


async def test_disabled_admin_is_not_replaced(store: Store) -> None:
    """An admin who was disabled stays so: a start makes no other way in."""
    async with open_users(store.environ) as accounts:
        assert await accounts.first_admin() is not None
        assert await accounts.set_status(await accounts.find(FIRST_ADMIN), "disabled")
        assert await accounts.first_admin() is None


async def test_keys_made_meanwhile(
    environ: dict[str, str], queue: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new password leaves no key, be it that a stolen one has made another at that moment."""
    async with open_users(environ) as users:
        user = await users.create("ada@example.com", "x" * 12, "member")
        for name in ("one", "two"):
            await users.keys.add(new_key(user.id, name, 1)[1])
        delete, made = users.keys.delete, new_key(user.id, "three", 2)[1]

        async def delete_and_make(key_id: str) -> None:
            await delete(key_id)
            if not await users.keys.by_digest(made.sha256) and key_id != made.id:
                await users.keys.add(made)

        monkeypatch.setattr(users.keys, "delete", delete_and_make)
        assert await users.set_password(user, "y" * 12, keep_keys=False)
        assert await users.keys.of_user(user.id) == []
        assert await users.cache.holder(made.sha256) is None
