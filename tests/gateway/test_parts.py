"""What a gateway tells of how it is, put together from its parts."""

from pathlib import Path

from tests.gateway.conftest import Running, Start


async def test_nothing_is_missing(running: Running) -> None:
    """A gateway that accepts misses nothing."""
    assert running.gateway.missing() == []
    assert running.gateway.degraded() == []


async def test_what_is_missing(running: Running) -> None:
    """Each thing that keeps it from accepting is a sentence."""
    gateway = running.gateway
    gateway.backlog.full = "The backlog is full: a bound"
    gateway.publisher.full = "The queue is out of memory"
    gateway.connections.leaving = True
    assert gateway.missing() == [
        "The queue is out of memory",
        "The backlog is full: a bound",
        "The gateway is shutting down",
    ]


async def test_queue_away(running: Running, start: Start, tmp_path: Path) -> None:
    """With a spool, a queue that is away is a degradation; without one nothing is accepted."""
    spooled = await start(CONTOX_SPOOL_DIR=str(tmp_path / "spool"))
    for gateway in (running.gateway, spooled.gateway):
        gateway.publisher.away = "The queue is away: gone"
    assert running.gateway.missing() == ["The queue is away: gone"]
    assert spooled.gateway.missing() == []
    assert spooled.gateway.degraded()[0] == "The queue is away: gone"


async def test_full_backlog_of_a_queue_that_is_away(start: Start, tmp_path: Path) -> None:
    """With a spool, the bounds of a queue that is away keep nothing out."""
    running = await start(CONTOX_SPOOL_DIR=str(tmp_path / "spool"))
    assert (await running.producer.post()).status == 202
    running.gateway.backlog.full = "The backlog is full: a bound"
    assert (await running.producer.post()).status == 503
    running.gateway.publisher.away = "The queue is away: gone"
    reply = await running.producer.post()
    assert (reply.status, reply.headers["x-contox-durability"]) == (202, "spooled")
    assert running.gateway.missing() == []


async def test_tasks(running: Running, start: Start, tmp_path: Path) -> None:
    """The spool's drain runs beside the others, where there is a spool."""
    spooled = await start(CONTOX_SPOOL_DIR=str(tmp_path / "spool"))
    names = []
    for gateway in (running.gateway, spooled.gateway):
        tasks = gateway.tasks()
        names.append([task.__qualname__ for task in tasks])
        for task in tasks:
            task.close()
    assert names[1] == [*names[0], "SpoolDrain.run"]
