"""Many projects in a store, made as `contox-ingest project create` does, but in one transaction."""

import asyncio
import os
import time
from collections.abc import Mapping

import sqlalchemy as sa

from bench.load import Sender
from core.ids import ENTROPY_BYTES, project_id
from core.ports import ProjectKeys, SealedSecret
from core.settings import Settings, read
from gateway.api.project_changes import new_secret
from gateway.key_cache import KeyCache
from runtime.queue import open_queue
from store.engine import open_engine, transaction
from store.migrate import migrate
from store.schema import projects, secrets
from store.sealing import Sealer

ANNOUNCED_AT_ONCE = 100


async def seed(environ: Mapping[str, str], count: int, *, cached: bool = False) -> list[Sender]:
    """Make `count` projects, each with a secret of its own, in the store that `environ` names.

    cached: put their keys into the queue's cache, too, as a gateway does that has looked them up.
    """
    settings = read(environ)
    assert settings.master_key is not None
    sealer, now_ms = Sealer(settings.master_key), int(time.time() * 1000)
    names = [project_id(now_ms, os.urandom(ENTROPY_BYTES)) for _ in range(count)]
    senders = [Sender(name, new_secret()) for name in names]
    sealed = {
        sender.project: sealer.seal(sender.secret, project_id=sender.project) for sender in senders
    }
    await _store(settings, sealed, now_ms)
    if cached:
        await _cache(settings, sealed)
    return senders


async def _store(settings: Settings, sealed: Mapping[str, bytes], now_ms: int) -> None:
    fixed = {"status": "active", "created_ms": now_ms, "updated_ms": now_ms}
    engine = open_engine(settings.database_url)
    try:
        await migrate(engine)
        async with transaction(engine) as connection:
            made = [{"id": name, "name": name, **fixed} for name in sealed]
            await connection.execute(sa.insert(projects), made)
            keys = [{"project_id": name, "sealed": content} for name, content in sealed.items()]
            await connection.execute(sa.insert(secrets), keys)
    finally:
        await engine.dispose()


async def _cache(settings: Settings, sealed: Mapping[str, bytes]) -> None:
    queue = open_queue(settings.redis_url)
    cache, names = KeyCache(queue, ttl_s=settings.keyring_ttl_s), list(sealed)
    try:
        for first in range(0, len(names), ANNOUNCED_AT_ONCE):
            await asyncio.gather(
                *(
                    cache.announce(name, ProjectKeys("active", (SealedSecret(sealed[name], None),)))
                    for name in names[first : first + ANNOUNCED_AT_ONCE]
                )
            )
    finally:
        await queue.aclose()
