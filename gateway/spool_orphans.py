"""Spools that processes of this gateway have left behind, moved into the one of process 0.

    CONTOX_SPOOL_DIR/            the spool of process 0, and of a gateway that is one process
        process-1/, process-2/   those of the others, as gateway/spool_file.py lays them out

Where fewer processes run than before, nobody would drain the last directories. Process 0 moves
their entries behind its own, a piece at a time while it serves, and removes what is empty.
"""

import asyncio
import re
from contextlib import suppress
from pathlib import Path

from core.errors import Unavailable
from core.settings import SettingError
from gateway.spool import Spool
from gateway.spool_file import SpoolFile
from runtime.log import get_log
from runtime.queue import Backoff

log = get_log()
DIRECTORY = re.compile(r"process-([1-9][0-9]{0,3})", re.ASCII).fullmatch
POLL_S = 0.2
FILES = ("spool.db", "spool.db-wal", "spool.db-shm", "spool.probe", "spool.lock")


def directory_of(root: str, number: int) -> str:
    """The spool of a process; empty if there is none."""
    return f"{root}/process-{number}" if root and number else root


def orphans(root: Path, count: int) -> list[Path]:
    """The directories of processes that a gateway of `count` processes does not have."""
    found = [(int(name[1]), path) for path in root.iterdir() if (name := DIRECTORY(path.name))]
    return [path for number, path in sorted(found) if number >= count]


async def adopt(spool: Spool, root: Path, count: int) -> None:
    """Move what orphans hold into the spool. One that cannot be opened stays as it is, and is
    logged."""
    for directory in await asyncio.to_thread(orphans, root, count):
        try:
            file = await spool.call(SpoolFile, directory)
        except (SettingError, Unavailable) as error:
            log.error("spool cannot be adopted", path=str(directory), why=str(error))  # noqa: TRY400
            continue
        entries = await _empty(file, spool)
        await spool.call(file.close)
        await asyncio.to_thread(_remove, directory)
        log.info("spool adopted", path=str(directory), entries=entries)


async def _empty(file: SpoolFile, spool: Spool) -> int:
    """Move all entries; returns how many. Waits while the disk fails or the spool is full."""
    backoff, entries, certain = Backoff(), 0, True
    while True:
        try:
            if not certain:
                await spool.count()
                certain = True
            if not spool.has_room:
                await asyncio.sleep(POLL_S)
                continue
            moved = await spool.take_over(file)
        except Unavailable:
            certain = False
            await backoff.wait()
            continue
        backoff.reset()
        entries += moved
        if not moved:
            return entries


def _remove(directory: Path) -> None:
    with suppress(OSError):  # an operator may keep something there
        for name in FILES:
            (directory / name).unlink(missing_ok=True)
        directory.rmdir()
