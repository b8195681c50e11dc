"""Projects made in bulk."""

import base64
from pathlib import Path

from bench.queue_server import Queue
from bench.seeding import seed
from cli.accounts import open_accounts


async def test_seed(tmp_path: Path, memory_queue: Queue) -> None:
    """Each project is in the store with its secret, and its keys in the queue's cache if asked."""
    environ = {
        "CONTOX_DATABASE_URL": f"sqlite:///{tmp_path}/store.db",
        "CONTOX_MASTER_KEY": base64.b64encode(bytes(32)).decode(),
        "CONTOX_REDIS_URL": memory_queue.url,
    }
    senders = await seed(environ, 250, cached=True)
    assert len({sender.project for sender in senders}) == 250
    async with open_accounts(environ) as accounts:
        assert len(await accounts.projects.list()) == 250
        assert await accounts.secret(senders[7].project) == senders[7].secret
    keys = [f"contox:keys:{sender.project}" for sender in senders]
    assert memory_queue.client.exists(*keys) == 250
