"""What every UserStore and ApiKeyStore keep to; see core.users."""

import pytest

from core.ports import Conflict
from core.users import ApiKey, ApiKeyStore, User, UserStore

ONE = User("user_1", "one@example.com", "$argon2id$1", "admin", "active", 1_000, 1_000)
TWO = User("user_2", "two@example.com", "$argon2id$2", "member", "active", 2_000, 2_000)
KEY = ApiKey("key_1", "user_1", "laptop", bytes(32), "contox_sk_abcd", 1_000)
OTHER = ApiKey("key_2", "user_1", "server", bytes([1]) * 32, "contox_sk_efgh", 2_000)


class UserStoreContract:
    """Subclasses give a fixture `users`: an empty UserStore."""

    async def test_found_by_id_and_address(self, users: UserStore) -> None:
        """A user is found by id, and by address in whatever case, and not by another."""
        await users.create(ONE)
        assert await users.find("user_1") == ONE
        assert await users.find("One@Example.COM") == ONE
        assert await users.find("two@example.com") is None
        assert await users.find("USER_1") is None

    async def test_list(self, users: UserStore) -> None:
        """All are listed, oldest first."""
        await users.create(TWO)
        await users.create(ONE)
        assert await users.list() == [ONE, TWO]

    @pytest.mark.parametrize(
        "second",
        [
            TWO._replace(id="user_1"),
            TWO._replace(email="one@example.com"),
            TWO._replace(email="ONE@example.com"),
        ],
        ids=["id", "address", "case"],
    )
    async def test_conflict(self, users: UserStore, second: User) -> None:
        """An id or address that is taken, in whatever case, is a Conflict and changes nothing."""
        await users.create(ONE)
        with pytest.raises(Conflict):
            await users.create(second)
        assert await users.list() == [ONE]

    async def test_changes(self, users: UserStore) -> None:
        """Password and status are changed for one user; an unknown one is passed over."""
        await users.create(ONE)
        await users.create(TWO)
        await users.set_password("user_1", "$new", now_ms=5_000)
        assert await users.find("user_1") == ONE._replace(password_hash="$new", updated_ms=5_000)
        await users.set_status("user_1", "disabled", now_ms=6_000)
        changed = ONE._replace(password_hash="$new", status="disabled", updated_ms=6_000)
        await users.set_password("user_3", "$new", now_ms=7_000)
        await users.set_status("user_3", "disabled", now_ms=7_000)
        assert await users.list() == [changed, TWO]

    async def test_changes_at_once(self, users: UserStore) -> None:
        """A change is later than the one before, whatever the clock says."""
        await users.create(ONE)
        for now_ms in (5_000, 5_000, 4_000):
            await users.set_status("user_1", "disabled", now_ms=now_ms)
        assert await users.find("user_1") == ONE._replace(status="disabled", updated_ms=5_002)


class ApiKeyStoreContract:
    """Subclasses give `keys` and, on the same store, `users`; both empty."""

    @pytest.fixture(autouse=True)
    async def owners(self, users: UserStore) -> None:
        """Two users who may have keys."""
        await users.create(ONE)
        await users.create(TWO)

    async def test_found_by_digest(self, keys: ApiKeyStore) -> None:
        """A key is found by its digest and by no other."""
        await keys.add(KEY)
        assert await keys.by_digest(KEY.sha256) == KEY
        assert await keys.by_digest(OTHER.sha256) is None

    async def test_of_user(self, keys: ApiKeyStore) -> None:
        """A user's own keys are listed, oldest first."""
        await keys.add(OTHER)
        await keys.add(KEY)
        assert await keys.of_user("user_1") == [KEY, OTHER]
        assert await keys.of_user("user_2") == []

    @pytest.mark.parametrize(
        "second",
        [
            OTHER._replace(id="key_1"),
            OTHER._replace(sha256=KEY.sha256),
            OTHER._replace(user_id="user_3"),
        ],
        ids=["id", "digest", "no user"],
    )
    async def test_conflict(self, keys: ApiKeyStore, second: ApiKey) -> None:
        """An id or digest that is taken, or an unknown user, raises Conflict, changing nothing."""
        await keys.add(KEY)
        with pytest.raises(Conflict):
            await keys.add(second)
        assert await keys.of_user("user_1") == [KEY]

    async def test_delete(self, keys: ApiKeyStore) -> None:
        """A key that is deleted is not found any more; deleting it again is nothing."""
        await keys.add(KEY)
        await keys.add(OTHER)
        await keys.delete("key_1")
        await keys.delete("key_1")
        assert await keys.by_digest(KEY.sha256) is None
        assert await keys.of_user("user_1") == [OTHER]

    async def test_used(self, keys: ApiKeyStore) -> None:
        """The first use is noted, a later one if it is far enough from that; one gone is not. What
        is kept then is told."""
        await keys.add(KEY)
        await keys.add(OTHER)
        kept = await keys.used({"key_1": 10_000, "key_3": 10_000}, apart_ms=500)
        assert kept == {"key_1": 10_000}
        kept = await keys.used({"key_1": 10_499, "key_2": 7}, apart_ms=500)
        assert kept == {"key_1": 10_000, "key_2": 7}
        assert await keys.used({}, apart_ms=500) == {}
        used = [key.last_used_ms for key in await keys.of_user("user_1")]
        assert used == [10_000, 7]
        assert await keys.used({"key_1": 10_500}, apart_ms=500) == {"key_1": 10_500}
        found = await keys.by_digest(KEY.sha256)
        assert found is not None
        assert found.last_used_ms == 10_500
