"""A backlog on a real queue, and workers by hand, for the tests of its bounds and its rate."""

from redis.asyncio import Redis

from core.metrics import Meter, Metric
from core.partitions import GROUP, stream_key
from core.settings import read
from gateway.backlog import Backlog

FIRST = stream_key(0)


class Sampled:
    """A backlog whose clock stands still unless it is told to go on."""

    def __init__(self, queue: Redis, **settings: int) -> None:
        environ = {f"CONTOX_{name.upper()}": str(value) for name, value in settings.items()}
        self.queue = queue
        self.meter = Meter("gateway")
        self.now_s = 0.0
        self.backlog = Backlog(queue, read(environ), self.meter, clock=lambda: self.now_s)

    async def full(self) -> str:
        """Sample, and say whether it is full."""
        await self.backlog.sample()
        assert self.meter.get(Metric.BACKLOG_FULL) == bool(self.backlog.full)
        return self.backlog.full

    async def add(self, count: int, partition: int = 0) -> None:
        """Append entries."""
        for _ in range(count):
            await self.queue.xadd(stream_key(partition), {"h": "x"})

    async def work(self, count: int) -> None:
        """Read entries of the first partition."""
        await self.queue.xreadgroup(GROUP, "w", {FIRST: ">"}, count=count)

    async def drain(self, count: int, partition: int = 0) -> None:
        """Read entries, acknowledge and delete them, as a worker does."""
        stream = stream_key(partition)
        reply = await self.queue.xreadgroup(GROUP, "w", {stream: ">"}, count=count)
        ids = [entry_id for entry_id, _ in reply[0][1]]
        await self.queue.xack(stream, GROUP, *ids)
        await self.queue.xdel(stream, *ids)

    async def group(self, partition: int = 0) -> None:
        """Make the workers' group."""
        await self.queue.xgroup_create(stream_key(partition), GROUP, id="0", mkstream=True)
