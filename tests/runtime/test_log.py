"""Throttle with a clock by hand; the log's lines from a process, as an operator collects them."""

import json
import subprocess
import sys
from datetime import datetime
from typing import Any

import pytest

from runtime.log import KEYS_MAX, Throttle

HEAD = """
import logging
from runtime.log import configure, get_log
log = get_log()
configure("gateway", {level!r})
"""


def lines(code: str, level: str = "info") -> list[dict[str, Any]]:
    """What a process logs that runs `code`; each line must be JSON."""
    command = [sys.executable, "-c", HEAD.format(level=level) + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


class Clock:
    """Monotonic seconds that the test sets."""

    now_s = 1000.0

    def __call__(self) -> float:
        """The time now."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """At 1000 s."""
    return Clock()


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    """One line per key in 10 s."""
    return Throttle(10, clock)


def test_line() -> None:
    """A line holds what happened, its fields, the level, the role and the time in UTC."""
    (line,) = lines("log.warning('queue away', error='no route', tries=3, name='ü\\n\"')")
    time = datetime.fromisoformat(line.pop("timestamp"))
    assert time.utcoffset() is not None
    assert line == {
        "event": "queue away",
        "level": "warning",
        "role": "gateway",
        "error": "no route",
        "tries": 3,
        "name": 'ü\n"',
    }


@pytest.mark.parametrize(
    ("level", "events"),
    [
        ("debug", ["d", "i", "w", "e"]),
        ("info", ["i", "w", "e"]),
        ("warning", ["w", "e"]),
        ("error", ["e"]),
    ],
)
def test_level(level: str, events: list[str]) -> None:
    """Lines below the level are not written."""
    code = "log.debug('d'); log.info('i'); log.warning('w'); log.error('e')"
    assert [line["event"] for line in lines(code, level)] == events


def test_exception() -> None:
    """A failure is one line, its traceback a field."""
    (line,) = lines("try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('failed', n=1)")
    assert (line["event"], line["level"], line["n"]) == ("failed", "error", 1)
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("ZeroDivisionError: division by zero")


def test_libraries() -> None:
    """What libraries log is JSON too, from `warning` on, whatever the level of ours."""
    code = "library = logging.getLogger('aiohttp.server')\n"
    code += "library.info('no'); library.warning('request %s', 'x'); library.error('failed')"
    found = lines(code, "debug")
    assert [(line["event"], line["level"]) for line in found] == [
        ("request x", "warning"),
        ("failed", "error"),
    ]
    assert all(datetime.fromisoformat(line["timestamp"]) for line in found)


def test_first(throttle: Throttle) -> None:
    """The first line of a key goes through, with none held back before it."""
    assert throttle.held_back("a") == 0


def test_held_back(throttle: Throttle, clock: Clock) -> None:
    """Within the interval the others are held back, and the next line says how many."""
    assert throttle.held_back("a") == 0
    for _ in range(5):
        clock.now_s += 1.9
        assert throttle.held_back("a") is None
    clock.now_s = 1010.0
    assert throttle.held_back("a") == 5
    clock.now_s = 1020.0
    assert throttle.held_back("a") == 0


def test_edge(throttle: Throttle, clock: Clock) -> None:
    """The interval counts from the line that went through, not from those held back."""
    throttle.held_back("a")
    clock.now_s = 1009.999
    assert throttle.held_back("a") is None
    clock.now_s = 1010.0
    assert throttle.held_back("a") == 1


def test_keys(throttle: Throttle) -> None:
    """Each key has an interval of its own."""
    assert [throttle.held_back(key) for key in "abab"] == [0, 0, None, None]


def test_keys_are_bounded(throttle: Throttle) -> None:
    """However many keys there are, few of them are remembered."""
    for number in range(KEYS_MAX * 3):
        assert throttle.held_back(str(number)) == 0
    assert len(throttle._next_s) <= KEYS_MAX
    assert throttle.held_back(str(KEYS_MAX * 3 - 1)) is None


def test_exceptions_of_libraries() -> None:
    """A library's failure is one line too, its traceback a field, and names the role."""
    code = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    logging.getLogger('x').exception('no')"
    (line,) = lines(code)
    assert (line["event"], line["role"]) == ("no", "gateway")
    assert line["exception"].endswith("ZeroDivisionError: division by zero")
    assert "exc_info" not in line


def test_held_back_is_bounded(throttle: Throttle) -> None:
    """Counts of keys that do not come again are not kept forever."""
    for number in range(KEYS_MAX * 3):
        throttle.held_back(str(number))
        throttle.held_back(str(number))
    assert len(throttle._held) <= KEYS_MAX


def test_lines_of_several_processes() -> None:
    """Processes that share standard error write whole lines, and tell which they are."""
    code = """
import os
from runtime.log import tell_process
children = []
for number in range(4):
    if not (pid := os.fork()):
        tell_process(number)
        for _ in range(500):
            log.info("said", text="x" * 200)
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
"""
    found = lines(code)
    assert len(found) == 2_000
    assert {line["process"] for line in found} == {0, 1, 2, 3}


def test_rich_is_not_imported() -> None:
    """A role's start does not wait for rich, which commands can still import."""
    code = "import sys, gateway.main; assert 'rich' not in sys.modules; import rich.console"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
