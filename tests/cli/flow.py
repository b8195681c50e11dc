"""Events that flow without a gateway and a worker, through the very scripts that those run."""

import json
from collections.abc import Iterable

from redis.asyncio import Redis

from cli.findings import Answer, Status
from core.body import Form
from core.codec import Entry, encode_header
from core.compression import Encoding
from core.ledger import ACCEPTED, ENTRIES, field
from core.partitions import GROUP, ledger_key, stream_key
from gateway.publisher import APPEND
from runtime.ledger import opening
from worker.batch import Outcome
from worker.settle import Settler


async def open_ledger(queue: Redis, partition: int = 0) -> str:
    """Open a partition's ledger as a gateway does; returns its id."""
    answer = await queue.execute_command(*opening(partition, {}))
    return str(answer[0].decode())


async def append(queue: Redis, project: str, events: int = 1, partition: int = 0) -> bytes:
    """Append an entry of so many events, counted in the ledger; returns the entry's id."""
    body = json.dumps([{"event": "saved", "payload": {"n": n}} for n in range(events)]).encode()
    entry = Entry(
        project=project,
        session="sess_1",
        received_ms=1,
        form=Form.ARRAY,
        encoding=Encoding.IDENTITY,
        count=events,
        timestamp_s=1,
        mac=bytes(32),
        body=body,
    )
    counts = (field(project, ACCEPTED), events, field(ENTRIES, ACCEPTED), 1)
    keys = (stream_key(partition), ledger_key(partition))
    queue_id = await open_ledger(queue, partition)
    await queue.eval(APPEND, 2, *keys, queue_id, 2, *counts, encode_header(entry), body)
    last = await queue.xrevrange(keys[0], count=1)
    return bytes(last[0][0])


async def read(queue: Redis, consumer: str = "one", partition: int = 0) -> None:
    """Deliver all there is to a consumer of the workers' group."""
    await group(queue, partition)
    await queue.xreadgroup(GROUP, consumer, {stream_key(partition): ">"})


async def group(queue: Redis, partition: int = 0) -> None:
    """Make the workers' group, where it is missing."""
    groups = (
        []
        if not await queue.exists(stream_key(partition))
        else await queue.xinfo_groups(stream_key(partition))
    )
    if not groups:
        await queue.xgroup_create(stream_key(partition), GROUP, id="0", mkstream=True)


async def settle(queue: Redis, entry_id: bytes, project: str, events: int = 1) -> None:
    """Be done with an entry of partition 0, as a worker whose store has it."""
    await group(queue)
    settler = Settler(queue, 0, name="one", dead_letters_max=100)
    await settler.settle([Outcome(entry_id, project, events, 0)], [])


def one(answers: Iterable[Answer]) -> tuple[Status, str]:
    """The status and the words of a check's only answer."""
    (answer,) = answers
    fixes = answer.status in (Status.WARNING, Status.BROKEN)
    assert bool(answer.change) >= fixes, answer
    return answer.status, answer.found
