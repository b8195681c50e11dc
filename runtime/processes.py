"""Several processes of one role: forked from a parent that keeps them running and stops them.

Requirements  What keeps a role from starting is said once, in its own words; one that dies is
              started again without a storm; a stop reaches all, and its status tells how it went.
Solution      The parent has neither loop nor threads, so that it may fork at any time; what it has
              imported, its children share. The first child starts alone: what stops a start stops
              it there. Each child holds the end of a pipe, which tells that it works, why it
              cannot, and by its end that the child is gone.
Cost          The parent must import what the children need, and open nothing that they would share.
"""

import ctypes
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn

from runtime.log import get_log
from runtime.queue import Backoff

log = get_log()
HEALTHY_S = 10  # after this long, a death is a new misfortune and the wait starts over
FAILED_STARTS_MAX = 5  # in a row, with none left that works: then the parent gives up
WORKS = b"\0"
WORDS_BYTES_MAX = 4_096  # a pipe takes as many at once
PR_SET_PDEATHSIG = 1
STOPPING = (signal.SIGTERM, signal.SIGINT)
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class StartError(Exception):
    """The role cannot run; the text is the child's own."""


@dataclass
class Child:
    """A child as its parent sees it."""

    number: int
    pid: int
    started_s: float
    works: bool = False
    words: bytes = b""


class Family:
    """Keeps `count` children running.

    serve: what child n does, given n and what to call once it works; it ends the child with status
    0, SystemExit, or an error. One of the types in `told` goes to the parent as a sentence.
    retire: called with n once a child is gone.
    stop_timeout_s: how long the children may take to stop before they are killed.
    """

    def __init__(
        self,
        count: int,
        serve: Callable[[int, Callable[[], None]], None],
        *,
        told: tuple[type[Exception], ...],
        retire: Callable[[int], None],
        on_stop: Callable[[], None],
        stop_timeout_s: float,
    ) -> None:
        self._count = count
        self._serve = serve
        self._told = told
        self._retire = retire
        self._on_stop = on_stop
        self._stop_timeout_s = stop_timeout_s
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, Child] = {}  # by the descriptor of their pipe
        self._due_s: dict[int, float] = {}  # when a child is to be started
        self._backoffs = [Backoff() for _ in range(count)]
        self._begun = False  # set once the first child works
        self._failed_starts = 0  # in a row
        self._kill_s: float | None = None  # set while stopping
        self._status = 0

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; returns the status to end with: 0 if every child that was
        stopped ended with it. Raises StartError if the first child cannot start, or if all are down
        and starts keep failing; no child is left then."""
        with _signals() as wakeup:
            self._selector.register(wakeup, selectors.EVENT_READ)
            self._due_s[0] = 0.0
            try:
                while self._children or (self._due_s and self._kill_s is None):
                    self._step(wakeup)
            finally:
                self._kill_all()
                self._selector.close()
        return self._status

    def _step(self, wakeup: int) -> None:
        for key, _ in self._selector.select(self._wait_s()):
            if key.fd == wakeup:
                if set(os.read(wakeup, 64)) & set(STOPPING):
                    self._stop()
            else:
                self._hear(key.fd)
        now_s = time.monotonic()
        if self._kill_s is not None:
            if now_s >= self._kill_s:
                log.error("processes do not stop; killed", count=len(self._children))
                self._kill_all()
            return
        for number in [number for number, due_s in self._due_s.items() if due_s <= now_s]:
            del self._due_s[number]
            self._start(number)

    def _wait_s(self) -> float | None:
        dues_s = [self._kill_s] if self._kill_s is not None else list(self._due_s.values())
        return max(0.0, min(dues_s) - time.monotonic()) if dues_s else None

    def _start(self, number: int) -> None:
        reader, writer = os.pipe()
        parent = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # until the child has left the parent's
        try:
            pid = os.fork()
        except OSError as error:  # tried again, as if it had died
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            os.close(reader)
            os.close(writer)
            log.error("process cannot be started", process=number, error=str(error))  # noqa: TRY400
            self._due_s[number] = time.monotonic() + self._backoffs[number].next_s()
            return
        if pid == 0:
            os.close(reader)
            self._be(number, writer, parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        os.close(writer)
        self._children[reader] = Child(number, pid, time.monotonic())
        self._selector.register(reader, selectors.EVENT_READ)

    def _be(self, number: int, writer: int, parent: int) -> NoReturn:
        """The child's whole life."""

        def works() -> None:
            os.write(writer, WORKS)

        status = 1
        try:
            self._selector.close()
            _leave(parent)
            self._serve(number, works)
            status = 0
        except self._told as error:
            os.write(writer, str(error).encode()[:WORDS_BYTES_MAX])
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(bool(end.code))
        except BaseException:  # a bug: said loudly; the child must end here, whatever it was
            log.exception("process failed")
        finally:
            with suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(status)  # what the parent has registered to be done at its end is not ours

    def _hear(self, reader: int) -> None:
        """Take in what a child tells, or that it is gone."""
        child = self._children[reader]
        said = os.read(reader, WORDS_BYTES_MAX)
        if said.startswith(WORKS):
            said = said[1:]
            child.works, self._failed_starts = True, 0
            if not self._begun:
                self._begun = True
                self._due_s = dict.fromkeys(range(1, self._count), 0.0)
        elif not said:
            self._selector.unregister(reader)
            os.close(reader)
            del self._children[reader]
            _, status = os.waitpid(child.pid, 0)
            self._retire(child.number)
            self._has_ended(child, os.waitstatus_to_exitcode(status))
            return
        child.words += said

    def _has_ended(self, child: Child, status: int) -> None:
        """Have a child started again, unless nothing is to be started any more."""
        if self._kill_s is not None:
            in_order = status == 0 or (status == -signal.SIGTERM and not child.works)
            self._status = self._status or int(not in_order)
            return
        why = child.words.decode(errors="replace")
        if self._begun:
            log.warning("process died; restarting", process=child.number, status=status, why=why)
        backoff = self._backoffs[child.number]
        if time.monotonic() - child.started_s > HEALTHY_S:
            backoff.reset()
        if not child.works:
            self._failed_starts += 1
            left = any(other.works for other in self._children.values())
            if not self._begun or (self._failed_starts >= FAILED_STARTS_MAX and not left):
                raise StartError(why or f"A process ended at its start with status {status}.")
        self._due_s[child.number] = time.monotonic() + backoff.next_s()

    def _stop(self) -> None:
        """Have all stopped; asked a second time, end them."""
        if self._kill_s is not None:
            self._kill_s = 0.0
            return
        log.info("stops its processes", count=len(self._children))
        self._kill_s = time.monotonic() + self._stop_timeout_s
        self._on_stop()
        self._signal_all(signal.SIGTERM)

    def _kill_all(self) -> None:
        """End what is left, and wait for it."""
        self._signal_all(signal.SIGKILL)
        for reader, child in self._children.items():
            os.waitpid(child.pid, 0)
            os.close(reader)
            self._status = 1
        self._children.clear()

    def _signal_all(self, number: int) -> None:
        for child in self._children.values():
            os.kill(child.pid, number)  # it is waited for by nobody else: the id is still its own


@contextmanager
def _signals() -> Iterator[int]:
    """A descriptor from which the numbers of the signals to stop can be read."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = {number: signal.signal(number, lambda *_: None) for number in STOPPING}
    signal.set_wakeup_fd(writer)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def _leave(parent: int) -> None:
    """In a child: signals are its own, Ctrl-C reaches the parent alone, and on Linux the child
    stops when the parent is gone, however it went (prctl(2))."""
    signal.set_wakeup_fd(-1)
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    os.setpgid(0, 0)
    if _libc:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(0)
