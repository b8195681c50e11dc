"""The first admin, who is made once."""

from cli.user_accounts import FIRST_ADMIN, open_users
from core.api_keys import digest_of, is_key
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
