"""Which secret a request was signed with is noted for projects that rotate, and for no others."""

import time

import pytest

from core.auth import keyed
from core.head import Head
from core.testing import MemoryProjects
from gateway import secret_uses as module
from gateway.api.last_used import LastUsed
from gateway.keyring import Credentials
from gateway.secret_uses import SecretName, SecretUses
from tests.gateway.conftest import Start, until
from tests.raw_http import Producer

OLD, NEW = keyed("old"), keyed("new")
ROTATING = Credentials("active", ((NEW, None), (OLD, 9)), (b"new", b"old"))
HEAD = Head(timestamp=b"1705312200")


@pytest.mark.parametrize(("key", "name"), [(OLD, b"old"), (NEW, b"new")])
def test_noted(key: object, name: bytes) -> None:
    """The secret that has signed is noted, and not the other."""
    uses: LastUsed[SecretName] = LastUsed(MemoryProjects())
    mac = key.mac(b"1705312200", b"{}")  # type: ignore[arg-type]
    SecretUses(uses).note("proj_1", ROTATING, HEAD, b"{}", mac)
    now_ms = int(time.time() * 1000)
    fresh = [n for n in (b"old", b"new") if uses.is_fresh(("proj_1", n), now_ms)]
    assert fresh == [name]


def test_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret whose use was noted is not looked at again within the minute."""
    looked: list[object] = []
    monkeypatch.setattr(module, "is_made_by", lambda key, *_, **__: looked.append(key) or True)
    uses: LastUsed[SecretName] = LastUsed(MemoryProjects())
    for _ in range(3):
        SecretUses(uses).note("proj_1", ROTATING, HEAD, b"{}", bytes(32))
    assert len(looked) == 2


async def test_only_while_rotating(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of a project with one secret do not come here; with two they do."""
    seen: list[str] = []
    running = await start()
    monkeypatch.setattr(running.gateway.admission, "_note_use", lambda *of: seen.append(of[0]))
    assert (await running.producer.post()).status == 202
    assert seen == []
    later_ms = int(time.time() * 1000) + 60_000
    await running.projects.rotate(
        "proj_1", running.seal("whsec_two"), now_ms=1, old_expires_ms=later_ms
    )
    await running.queue.delete("contox:keys:proj_1")
    running.gateway._keyring.forget("proj_1")
    for secret in ("whsec_two", running.producer.secret):
        producer = Producer(running.gateway.port, "proj_1", secret)
        assert (await producer.post()).status == 202
    assert seen == ["proj_1"] * 2
    await until(lambda: running.gateway._keyring.cached("proj_1") is not None)
