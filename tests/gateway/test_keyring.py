"""The keyring on a real queue and a counted store: what is looked up, and what is cached."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from core.errors import Reason, Unavailable
from core.metrics import Meter, Metric
from core.ports import Project, ProjectKeys, SealedSecret
from core.testing import MemoryProjects
from gateway import keyring as module
from gateway.key_cache import KeyCache
from gateway.keyring import Credentials, Keyring
from runtime.background import end
from runtime.queue import open_queue
from store.sealing import Sealer
from tests.gateway.conftest import until

SEALER = Sealer(bytes(32))
DEMO = Project("proj_1", "demo", "active", 1, 1)


class CountedProjects(MemoryProjects):
    """Counts and can delay lookups of keys."""

    def __init__(self) -> None:
        super().__init__()
        self.lookups = 0
        self.away = False
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def keys(self, project_id: str) -> ProjectKeys | None:
        """See core.ports.ProjectStore."""
        self.lookups += 1
        if self.away:
            raise Unavailable
        found = await super().keys(project_id)
        await self.go_on.wait()
        return found


def sealed(secret: str, expires_ms: int | None = None) -> SealedSecret:
    """A secret of the demo project."""
    return SealedSecret(SEALER.seal(secret, project_id="proj_1"), expires_ms)


def verifies(credentials: Credentials | None, secret: str, now_ms: int = 0) -> bool:
    """Whether the credentials hold this secret."""
    assert credentials is not None
    macs = [key.mac(b"1", b"x") for key in credentials.live(now_ms)]
    return module.keyed(secret).mac(b"1", b"x") in macs


@pytest.fixture
async def projects() -> CountedProjects:
    """A store with one project, whose secret is "one"."""
    store = CountedProjects()
    await store.create(DEMO, sealed("one"))
    return store


class Time:
    """A monotonic clock that the test moves."""

    now_s = 1_000.0

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now_s


@pytest.fixture
def time() -> Time:
    """The keyring's clock."""
    return Time()


def make(queue: Redis, projects: MemoryProjects, time: Time, entries_max: int = 100) -> Keyring:
    """A keyring with a TTL of 30 s."""
    return Keyring(
        cache=KeyCache(queue, ttl_s=30),
        projects=projects,
        sealer=SEALER,
        ttl_s=30,
        entries_max=entries_max,
        meter=Meter("gateway"),
        clock=time,
    )


@pytest.fixture
def keyring(queue: Redis, projects: CountedProjects, time: Time) -> Keyring:
    """The keyring under test."""
    return make(queue, projects, time)


async def test_memory_then_redis_then_store(
    keyring: Keyring, queue: Redis, projects: CountedProjects, time: Time
) -> None:
    """The store is asked once; then memory knows, and for a second process Redis does."""
    assert keyring.cached("proj_1") is None
    assert verifies(await keyring.load("proj_1"), "one")
    assert verifies(keyring.cached("proj_1"), "one")
    assert verifies(await make(queue, projects, time).load("proj_1"), "one")
    assert projects.lookups == 1


async def test_expired_while_the_store_is_away(
    keyring: Keyring, queue: Redis, projects: CountedProjects, time: Time
) -> None:
    """While the store is away, expired keys are used on, unless they were invalidated."""
    await keyring.load("proj_1")
    await queue.flushall()
    time.now_s += 31
    projects.away = True
    assert keyring.cached("proj_1") is None
    assert verifies(await keyring.load("proj_1"), "one")
    assert verifies(keyring.cached("proj_1"), "one")
    time.now_s += 6
    assert keyring.cached("proj_1") is None
    keyring.forget("proj_1")
    with pytest.raises(Unavailable):
        await keyring.load("proj_1")
    projects.away = False
    assert verifies(await keyring.load("proj_1"), "one")


async def test_one_flight(keyring: Keyring, projects: CountedProjects) -> None:
    """A hundred requests of a cold project are one lookup."""
    await asyncio.gather(*(keyring.load("proj_1") for _ in range(100)))
    assert projects.lookups == 1


async def test_unknown_is_remembered_apart(
    keyring: Keyring, projects: CountedProjects, time: Time
) -> None:
    """An unknown project is a decoy that verifies nothing known, cached for a shorter time."""
    credentials = await keyring.load("proj_none")
    assert credentials.status is None
    assert len(credentials.live(0)) == 1
    assert keyring.cached("proj_none") is not None
    time.now_s += 6
    assert keyring.cached("proj_none") is None


async def test_made_up_ids_do_not_push_out_real_ones(
    queue: Redis, projects: CountedProjects, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many unknown ids come, a known project stays in memory, and memory is bounded."""
    monkeypatch.setattr(module, "UNKNOWN_MAX", 5)
    keyring = make(queue, projects, time, entries_max=2)
    await keyring.load("proj_1")
    for number in range(20):
        await keyring.load(f"proj_made_up_{number}")
    assert keyring.cached("proj_1") is not None
    assert len(keyring._unknown) == 5


async def test_full_memory_forgets_the_oldest(
    queue: Redis, projects: CountedProjects, time: Time
) -> None:
    """A full keyring keeps the projects that were looked up last."""
    keyring = make(queue, projects, time, entries_max=2)
    for name in ("proj_2", "proj_3"):
        secret = SealedSecret(SEALER.seal("s", project_id=name), None)
        await projects.create(DEMO._replace(id=name, name=name), secret)
    for name in ("proj_1", "proj_2", "proj_3"):
        await keyring.load(name)
    assert keyring.cached("proj_1") is None
    assert keyring.cached("proj_2") is not None
    assert keyring.cached("proj_3") is not None


async def test_expiry(keyring: Keyring, time: Time) -> None:
    """After its TTL an entry is looked up anew."""
    await keyring.load("proj_1")
    time.now_s += 30
    assert keyring.cached("proj_1") is None


async def test_old_secret_until_its_expiry(keyring: Keyring, projects: CountedProjects) -> None:
    """During the grace both secrets verify, after it the new one alone."""
    await projects.rotate("proj_1", sealed("two"), now_ms=0, old_expires_ms=100)
    credentials = await keyring.load("proj_1")
    assert verifies(credentials, "one", now_ms=99)
    assert verifies(credentials, "two", now_ms=99)
    assert credentials.rotating
    assert not verifies(credentials, "one", now_ms=100)
    assert verifies(credentials, "two", now_ms=100)
    assert not credentials.rotating


async def test_change_during_a_lookup_is_not_lost(
    keyring: Keyring, projects: CountedProjects
) -> None:
    """A lookup that began before a change is not cached."""
    projects.go_on.clear()
    lookup = asyncio.create_task(keyring.load("proj_1"))
    await until(lambda: projects.lookups == 1)
    keyring.forget("proj_1")
    projects.go_on.set()
    await lookup
    assert keyring.cached("proj_1") is None


@pytest.fixture
async def following(keyring: Keyring, queue: Redis) -> AsyncIterator[None]:
    """The keyring listens for changes."""
    task = asyncio.create_task(keyring.follow(queue))
    await until(lambda: keyring._invalidations > 0)
    yield
    await end(task)


@pytest.mark.usefixtures("following")
async def test_pushed_invalidation(
    keyring: Keyring, projects: CountedProjects, queue: Redis
) -> None:
    """A change announced anywhere is known here at once."""
    await keyring.load("proj_1")
    await projects.rotate("proj_1", sealed("two"), now_ms=0, old_expires_ms=100)
    await KeyCache(queue, ttl_s=30).announce("proj_1", await projects.keys("proj_1"))
    await until(lambda: keyring.cached("proj_1") is None)
    assert verifies(await keyring.load("proj_1"), "two")


@pytest.mark.usefixtures("following")
async def test_lost_channel(keyring: Keyring, queue: Redis) -> None:
    """When the channel was cut, changes may have been missed: everything is forgotten."""
    await keyring.load("proj_1")
    await queue.client_kill_filter(_type="pubsub")
    await until(lambda: keyring.cached("proj_1") is None)


async def test_queue_away(projects: CountedProjects, time: Time) -> None:
    """Without Redis the store answers."""
    queue = open_queue("redis://127.0.0.1:1/0")
    keyring = make(queue, projects, time)
    assert verifies(await keyring.load("proj_1"), "one")
    assert keyring._meter.get(Metric.KEYRING_LOOKUPS, "store") == 1
    await queue.aclose()


async def test_store_away(keyring: Keyring, projects: CountedProjects) -> None:
    """If nobody can say, that is Unavailable and not an unknown project; nothing is cached."""

    async def away(_project_id: str) -> None:
        raise Unavailable

    projects.keys = away  # type: ignore[method-assign,assignment]
    with pytest.raises(Unavailable):
        await keyring.load("proj_1")
    assert keyring.cached("proj_1") is None


async def test_other_master_key(queue: Redis, time: Time) -> None:
    """A secret that does not open is the operator's fault: Unavailable, never a 401."""
    projects = CountedProjects()
    other = Sealer(bytes(31) + b"x").seal("one", project_id="proj_1")
    await projects.create(DEMO, SealedSecret(other, None))
    with pytest.raises(Unavailable):
        await make(queue, projects, time).load("proj_1")


async def test_too_many_lookups(
    keyring: Keyring, projects: CountedProjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the bound of lookups at once, a cold project is asked to retry."""
    monkeypatch.setattr(module, "LOOKUPS_MAX", 2)
    projects.go_on.clear()
    lookups = [asyncio.create_task(keyring.load(f"proj_{n}")) for n in range(2)]
    await until(lambda: projects.lookups == 2)
    with pytest.raises(Unavailable) as refused:
        await keyring.load("proj_9")
    assert refused.value.reason is Reason.OVERLOADED
    projects.go_on.set()
    await asyncio.gather(*lookups)


async def test_who_comes_after_a_change_is_told_of_it(
    keyring: Keyring, projects: CountedProjects, queue: Redis
) -> None:
    """A request after an invalidation does not join a lookup that began before it."""
    projects.go_on.clear()
    early = asyncio.create_task(keyring.load("proj_1"))
    await until(lambda: projects.lookups == 1)
    await projects.rotate("proj_1", sealed("two"), now_ms=0, old_expires_ms=0)
    await KeyCache(queue, ttl_s=30).announce(
        "proj_1", await MemoryProjects.keys(projects, "proj_1")
    )
    keyring.forget("proj_1")
    late = asyncio.create_task(keyring.load("proj_1"))
    assert verifies(await asyncio.wait_for(late, 5), "two")
    projects.go_on.set()
    await early
