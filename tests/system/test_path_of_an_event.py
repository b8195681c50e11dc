"""From a signed request to a stored row, as the README shows it, and while parts are killed."""

import contextlib
import json
import sqlite3
import subprocess
import time

import psutil
import pytest

from tests.system.conftest import COMMAND, Stack, wait_until


def printed_line(stack: Stack, start: str) -> str:
    """The command that `up` has printed for copying."""
    return next(line.strip() for line in stack.printed().splitlines() if start in line)


def test_printed_curl(stack: Stack) -> None:
    """The printed curl line is accepted; pasted again unchanged it is the same one event."""
    line = printed_line(stack, "curl -sS")
    replies = [
        json.loads(subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout)
        for _ in range(2)
    ]
    assert sorted(replies[0]) == ["eventId", "sessionId", "status"]
    assert replies[0] == replies[1]
    wait_until(lambda: len(stack.events()) > 0, 1.5)
    (event,) = stack.events()
    assert event["eventId"] == replies[0]["eventId"]
    assert event["payload"] == {"summary": "hello from curl"}


def test_visible_within_a_second(stack: Stack) -> None:
    """An accepted event is in the store within a second."""
    reply = json.loads(stack.run("send", "session_save", '{"n": 1}', "--json"))
    accepted_s = time.monotonic()
    database = sqlite3.connect(f"file:{stack.data}/contox-ingest.db?mode=ro", uri=True)
    count = "SELECT count(*) FROM events WHERE event_id = ?"
    wait_until(lambda: database.execute(count, [reply["eventId"]]).fetchone()[0] == 1, 5)
    elapsed_s = time.monotonic() - accepted_s
    database.close()
    assert elapsed_s < 1


@pytest.mark.parametrize(
    "victim", ["contox-ingest worker", "contox-ingest gateway", "valkey-server"]
)
def test_killed_while_events_flow(stack: Stack, victim: str) -> None:
    """20,000 events while a part is killed three times: all stored, none twice, bytes unchanged."""
    payloads = {f"id-{n:05}": f'{{"n": {n}, "x":1.0, "z":"\\u0000ü"}}' for n in range(20_000)}
    file = stack.directory / "events.ndjson"
    lines = [f'{{"id":"{i}","event":"e","payload":{p}}}\n' for i, p in payloads.items()]
    file.write_text("".join(lines))
    command = [*COMMAND, "send", "--file", str(file), "--batch-size", "10", "--json"]
    sender = subprocess.Popen(command, env=stack.environ(), stdout=subprocess.PIPE)
    seen = [kill_in_the_flow(stack, victim) for _ in range(3)]
    output, _ = sender.communicate(timeout=200)
    assert sender.returncode == 0
    assert json.loads(output)["accepted"] == 20_000
    assert 0 < seen[0] < seen[1] < seen[2] < 20_000  # each kill came in the middle of the flow
    assert stored(stack, len(payloads)) == payloads


def kill_in_the_flow(stack: Stack, victim: str) -> int:
    """SIGKILL a part once more events have been stored; returns how many there were."""
    before = count_rows(stack)
    wait_until(lambda: count_rows(stack) > before, 60)
    rows = count_rows(stack)
    stack.kill(victim)
    return rows


def count_rows(stack: Stack) -> int:
    """How many events are stored."""
    database = sqlite3.connect(f"file:{stack.data}/contox-ingest.db?mode=ro", uri=True)
    try:
        return int(database.execute("SELECT count(*) FROM events").fetchone()[0])
    finally:
        database.close()


def stored(stack: Stack, count: int) -> dict[str, str]:
    """Payload text by id, once `count` rows are there; a second more shows that no more come."""
    database = sqlite3.connect(f"file:{stack.data}/contox-ingest.db?mode=ro", uri=True)
    wait_until(lambda: count_rows(stack) >= count, 60)
    time.sleep(1)
    found = database.execute("SELECT event_id, payload FROM events").fetchall()
    database.close()
    assert len(found) == count
    return dict(found)


def test_stops_and_starts_again(stack: Stack) -> None:
    """After Ctrl-C and a new start the same project, secret and events are there."""
    stack.run("send", "session_save", '{"n": 1}')
    wait_until(lambda: len(stack.events()) == 1, 5)
    before = stack.ready
    assert stack.stop() == 0
    stack.start()
    assert {**stack.ready, "url": ""} == {**before, "url": "", "apiKey": None}  # told once
    stack.run("send", "session_save", '{"n": 2}')
    wait_until(lambda: len(stack.events()) == 2, 5)


def test_accepted_before_a_kill_of_everything(stack: Stack) -> None:
    """What was accepted is stored after every process was killed at once."""
    stack.part("contox-ingest worker").suspend()
    reply = json.loads(stack.run("send", "session_save", '{"n": 1}', "--json"))
    assert stack._process is not None
    parts = [stack.part(name) for name in ("gateway", "worker", "valkey-server")]
    stack._process.kill()
    stack._process.wait()
    for part in parts:
        with contextlib.suppress(psutil.NoSuchProcess):  # it may have gone with its parent
            part.kill()
    wait_until(lambda: not any(part.is_running() for part in parts), 10)
    (stack.directory / "ready.json").unlink()
    stack.start()
    wait_until(lambda: [e["eventId"] for e in stack.events()] == [reply["eventId"]], 10)
