"""Child processes that are kept running: started in order, restarted when they die, stopped in
reverse.
"""

import asyncio
import ctypes
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from cli.errors import CliError
from runtime.log import get_log
from runtime.queue import Backoff

log = get_log()
START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 40
POLL_S = 0.05
HEALTHY_S = 10  # after this long, a death is a new misfortune and the wait starts over
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Part:
    """A process to keep running. `ready` tells whether it does its work."""

    name: str
    command: list[str]
    environ: dict[str, str]
    ready: Callable[[], Awaitable[bool]]
    stdin: bytes = b""
    log: str = "its last words above"  # where a person finds why it ended


class Supervisor:
    """Keeps parts running until `stop`."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._processes: dict[str, Process] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}  # of the parts that have got ready
        self._stopping = False

    async def start(self, part: Part) -> None:
        """Start a part and wait until it is ready. Raises CliError if it does not get there."""
        process = await self._spawn(part)
        self._parts.append(part)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not await part.ready():
                    if process.returncode is not None:
                        raise CliError(f"{part.name} ended at its start; see {part.log}.")
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise CliError(f"{part.name} was not ready after {START_TIMEOUT_S} s.") from None
        self._keepers[part.name] = asyncio.create_task(self._keep_running(part, process))

    async def stop(self) -> None:
        """Stop the parts, the last one started first, each given time to finish."""
        self._stopping = True
        for part in reversed(self._parts):
            process = self._processes[part.name]
            if process.returncode is None:
                process.terminate()
            try:
                end = self._keepers.get(part.name) or process.wait()
                await asyncio.wait_for(end, STOP_TIMEOUT_S)
            except TimeoutError:
                log.error("part does not stop; killed", part=part.name)  # noqa: TRY400
                self._processes[part.name].kill()

    async def _keep_running(self, part: Part, process: Process) -> None:
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        while True:
            status = await process.wait()
            if self._stopping:
                return
            log.warning("part died; restarting", part=part.name, status=status)
            if loop.time() - started_s > HEALTHY_S:
                backoff.reset()
            await backoff.wait()
            if self._stopping:
                return
            started_s = loop.time()
            try:
                process = await self._spawn(part)
            except OSError as error:  # tried again, as if it had died once more
                log.error("part cannot be started", part=part.name, error=str(error))  # noqa: TRY400

    async def _spawn(self, part: Part) -> Process:
        """Start the process in a group of its own, so that Ctrl-C reaches only the supervisor."""
        process = await asyncio.create_subprocess_exec(
            *part.command,
            env=part.environ,
            stdin=PIPE if part.stdin else DEVNULL,
            stdout=DEVNULL,
            process_group=0,
            preexec_fn=_die_with_parent,
        )
        self._processes[part.name] = process
        if process.stdin:
            process.stdin.write(part.stdin)
            process.stdin.close()
        if self._stopping:  # it was under way when `stop` came
            process.terminate()
        return process


def _die_with_parent() -> None:
    """Ask Linux to stop the child when the supervisor is gone, however it went (prctl(2))."""
    if _libc:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def script(role: str) -> list[str]:
    """The command line of one of our roles, which names it: contox-ingest ROLE."""
    beside = Path(sys.executable).with_name("contox-ingest")
    found = str(beside) if beside.exists() else shutil.which("contox-ingest")
    if found is None:
        raise CliError("The command contox-ingest is not installed; make setup installs it.")
    return [sys.executable, found, role]
