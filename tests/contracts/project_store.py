"""What every ProjectStore keeps to; see core.ports."""

import asyncio

import pytest

from core.ports import Conflict, Project, ProjectStore, SealedSecret

ONE = Project("proj_1", "one", "active", 1_000, 1_000)
TWO = Project("proj_2", "two", "active", 2_000, 2_000)
SECRETS = [SealedSecret(bytes([n]), None) for n in range(5)]


class ProjectStoreContract:
    """Subclasses give a fixture `store`, an empty ProjectStore, and `owner`, the id of a user."""

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

    async def test_got_by_id_alone(self, store: ProjectStore) -> None:
        """A project is got by its id, not by its name."""
        await store.create(ONE, SECRETS[0])
        assert await store.get("proj_1") == ONE
        assert await store.get("one") is None

    async def test_names_are_their_owners(self, store: ProjectStore, owner: str) -> None:
        """Two owners may have a name each; by that name alone neither is found."""
        await store.create(ONE, SECRETS[0])
        await store.create(TWO._replace(name="one", owner_id=owner), SECRETS[1])
        with pytest.raises(Conflict):
            await store.find("one")
        assert [p.id for p in await store.list(owner)] == ["proj_2"]
        assert [p.id for p in await store.list()] == ["proj_1", "proj_2"]
        assert await store.list("user_9") == []
        assert [p.id for p in await store.list(owner, name="one")] == ["proj_2"]
        assert [p.id for p in await store.list(name="one")] == ["proj_1", "proj_2"]
        for other in ("two", "ONE", "on", "one ", ""):
            assert await store.list(name=other) == []
        with pytest.raises(Conflict):
            await store.create(TWO._replace(id="proj_3", name="one", owner_id=owner), SECRETS[2])

    async def test_update(self, store: ProjectStore) -> None:
        """What is changed is changed, and nothing else; an unknown project is no error."""
        await store.create(ONE, SECRETS[0])
        await store.update("proj_1", {"name": "uno", "status": "disabled"}, now_ms=3_000)
        await store.update("proj_9", {"name": "nine"}, now_ms=3_000)
        changed = ONE._replace(name="uno", status="disabled", updated_ms=3_000)
        assert await store.list() == [changed]
        await store.update("proj_1", {}, now_ms=3_001)
        assert await store.get("proj_1") == changed._replace(updated_ms=3_001)

    async def test_version(self, store: ProjectStore) -> None:
        """Each change has a higher version than the one before, whatever the clock says."""
        await store.create(ONE, SECRETS[0])
        versions = []
        for now_ms in (1_000, 900, 1_001, 5_000):
            await store.update("proj_1", {"status": "active"}, now_ms=now_ms)
            versions.append(await store.keys("proj_1"))
            await store.rotate("proj_1", SECRETS[1], now_ms=now_ms, old_expires_ms=now_ms)
            versions.append(await store.keys("proj_1"))
        numbers = [keys.version for keys in versions if keys]
        assert numbers == [1_001, 1_002, 1_003, 1_004, 1_005, 1_006, 5_000, 5_001]

    async def test_update_conflict(self, store: ProjectStore) -> None:
        """A name that its owner has given already raises Conflict; its own name does not."""
        await store.create(ONE, SECRETS[0])
        await store.create(TWO, SECRETS[1])
        with pytest.raises(Conflict):
            await store.update("proj_2", {"name": "one"}, now_ms=3_000)
        await store.update("proj_2", {"name": "two"}, now_ms=3_000)
        assert await store.get("proj_2") == TWO._replace(updated_ms=3_000)

    async def test_delete(self, store: ProjectStore) -> None:
        """A project that is deleted is gone with its secrets; deleting it again is no error."""
        await store.create(ONE, SECRETS[0])
        await store.create(TWO, SECRETS[1])
        await store.delete("proj_1")
        await store.delete("proj_1")
        assert await store.list() == [TWO]
        assert await store.keys("proj_1") is None
        await store.create(ONE, SECRETS[2])

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
        assert keys == ("active", (SECRETS[0],), None, 1_000)
        assert await store.keys("one") is None

    async def test_rotation(self, store: ProjectStore) -> None:
        """After a rotation the new secret comes first, the old one expires."""
        await store.create(ONE, SECRETS[0])
        await store.rotate("proj_1", SECRETS[1], now_ms=10, old_expires_ms=20)
        keys = await store.keys("proj_1")
        assert keys is not None
        assert keys.secrets == (SECRETS[1], SECRETS[0]._replace(expires_ms=20))

    async def test_rotation_again(self, store: ProjectStore) -> None:
        """A second rotation ends the secret that was in its grace, however long that was."""
        await store.create(ONE, SECRETS[0])
        await store.rotate("proj_1", SECRETS[1], now_ms=10, old_expires_ms=99)
        await store.rotate("proj_1", SECRETS[2], now_ms=15, old_expires_ms=40)
        keys = await store.keys("proj_1")
        assert keys is not None
        assert keys.secrets == (SECRETS[2], SECRETS[1]._replace(expires_ms=40))

    async def test_rotation_without_grace(self, store: ProjectStore) -> None:
        """A rotation without a grace leaves the new secret alone, and other projects' as they
        are."""
        await store.create(ONE, SECRETS[0])
        await store.create(TWO, SECRETS[4])
        await store.rotate("proj_2", SECRETS[1], now_ms=10, old_expires_ms=99)
        await store.rotate("proj_1", SECRETS[2], now_ms=10, old_expires_ms=99)
        await store.rotate("proj_1", SECRETS[3], now_ms=30, old_expires_ms=30)
        keys, other = await store.keys("proj_1"), await store.keys("proj_2")
        assert keys is not None
        assert other is not None
        assert keys.secrets == (SECRETS[3],)
        assert other.secrets == (SECRETS[1], SECRETS[4]._replace(expires_ms=99))

    async def test_rotations_at_once(self, store: ProjectStore) -> None:
        """Rotations that are under way together leave one current secret, and one before it."""
        await store.create(ONE, SECRETS[0])
        await asyncio.gather(
            *(store.rotate("proj_1", new, now_ms=10, old_expires_ms=99) for new in SECRETS[1:])
        )
        keys = await store.keys("proj_1")
        assert keys is not None
        assert [secret.expires_ms for secret in keys.secrets] == [None, 99]

    async def test_used(self, store: ProjectStore) -> None:
        """When a secret was used is kept by its sealed form, but not if that was just before; what
        is kept then is told."""
        await store.create(ONE, SECRETS[0])
        await store.rotate("proj_1", SECRETS[1], now_ms=10, old_expires_ms=90)
        old = ("proj_1", SECRETS[0].sealed)
        assert await store.used({}, apart_ms=5) == {}
        for at_ms, kept_ms in ((20, 20), (24, 20), (25, 25)):
            kept = await store.used({old: at_ms, ("proj_9", b"x"): at_ms}, apart_ms=5)
            assert kept == {old: kept_ms}
            keys = await store.keys("proj_1")
            assert keys is not None
            assert [secret.last_used_ms for secret in keys.secrets] == [None, kept_ms]

    async def test_last_use_is_told_at_the_rotation(self, store: ProjectStore) -> None:
        """What a rotation knows of the old secret's last use stays with it."""
        await store.create(ONE, SECRETS[0])
        await store.rotate("proj_1", SECRETS[1], now_ms=10, old_expires_ms=90, old_last_used_ms=3)
        keys = await store.keys("proj_1")
        assert keys is not None
        assert [secret.last_used_ms for secret in keys.secrets] == [None, 3]
