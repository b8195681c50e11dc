"""What every ProjectStore keeps to; see core.ports."""

import pytest

from core.ports import Conflict, Project, ProjectStore, SealedSecret

ONE = Project("proj_1", "one", "active", 1_000, 1_000)
TWO = Project("proj_2", "two", "active", 2_000, 2_000)
SECRETS = [SealedSecret(bytes([n]), None) for n in range(5)]


class ProjectStoreContract:
    """Subclasses give a fixture `store`: an empty ProjectStore."""

    async def test_found_by_id_and_name(self, store: ProjectStore) -> None:
        """A project is found by its id and by its name, and not by another."""
        await store.create(ONE, SECRETS[0])
        assert await store.find("proj_1") == ONE
        assert await store.find("one") == ONE
        assert await store.find("two") is None

    async def test_id_before_name(self, store: ProjectStore) -> None:
        """A name that is another project's id does not hide that project."""
        await store.create(ONE._replace(name="proj_2"), SECRETS[0])
        await store.create(TWO, SECRETS[1])
        assert await store.find("proj_2") == TWO

    async def test_list(self, store: ProjectStore) -> None:
        """All are listed, oldest first."""
        await store.create(TWO, SECRETS[0])
        await store.create(ONE, SECRETS[1])
        assert await store.list() == [ONE, TWO]

    async def test_any(self, store: ProjectStore) -> None:
        """Any one is one of those that are there."""
        assert await store.any() is None
        await store.create(ONE, SECRETS[0])
        assert await store.any() == ONE
        await store.create(TWO, SECRETS[1])
        assert await store.any() in {ONE, TWO}

    @pytest.mark.parametrize("second", [TWO._replace(id="proj_1"), TWO._replace(name="one")])
    async def test_conflict(self, store: ProjectStore, second: Project) -> None:
        """An id or a name that is taken raises Conflict and changes nothing."""
        await store.create(ONE, SECRETS[0])
        with pytest.raises(Conflict):
            await store.create(second, SECRETS[1])
        assert await store.list() == [ONE]

    async def test_keys(self, store: ProjectStore) -> None:
        """The keyring gets status and secrets; nothing for an unknown id, or for a name."""
        await store.create(ONE, SECRETS[0])
        keys = await store.keys("proj_1")
        assert keys is not None
        assert (keys.status, keys.secrets) == ("active", (SECRETS[0],))
        assert await store.keys("one") is None

    async def test_rotation(self, store: ProjectStore) -> None:
        """After a rotation the new secret comes first, the old one expires."""
        await store.create(ONE, SECRETS[0])
        await store.rotate("proj_1", SECRETS[1], now_ms=10, old_expires_ms=20)
        keys = await store.keys("proj_1")
        assert keys is not None
        assert keys.secrets == (SECRETS[1], SECRETS[0]._replace(expires_ms=20))

    async def test_rotation_again(self, store: ProjectStore) -> None:
        """A second rotation keeps the first's expiry, and drops what has expired."""
        await store.create(ONE, SECRETS[0])
        await store.rotate("proj_1", SECRETS[1], now_ms=10, old_expires_ms=20)
        await store.rotate("proj_1", SECRETS[2], now_ms=15, old_expires_ms=40)
        await store.rotate("proj_1", SECRETS[3], now_ms=30, old_expires_ms=30)
        keys = await store.keys("proj_1")
        assert keys is not None
        assert keys.secrets == (SECRETS[3], SECRETS[1]._replace(expires_ms=40))
