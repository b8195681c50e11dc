"""An event that the store refuses: kept, replayed once the cause is gone, and accounted for."""

import json
import sqlite3
import urllib.request
from contextlib import closing
from typing import Any

from tests.system.conftest import Stack, wait_until
from tests.system.published import Api, CommandLine, stringify

FORBID = """CREATE TRIGGER forbid BEFORE INSERT ON events WHEN NEW.event = 'poison'
    BEGIN SELECT RAISE(ABORT, 'poison is forbidden'); END"""


def letters(stack: Stack, *arguments: str) -> str:
    """What `dead-letters` prints."""
    return stack.run("dead-letters", *arguments, "--data-dir", str(stack.data))


def alter(stack: Stack, statement: str) -> None:
    """Change the store's rules behind the worker's back."""
    with closing(sqlite3.connect(stack.data / "contox-ingest.db")) as connection:
        connection.execute(statement)


def ask(stack: Stack, path: str, method: str = "GET") -> Any:
    """What the gateway answers an operator."""
    token = (stack.data / "operator.token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(stack.ready["url"] + path, headers=headers, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def ledger(stack: Stack) -> dict[str, Any]:
    """The project's ledger, less what is nothing."""
    found = ask(stack, f"/api/projects/{stack.ready['projectId']}/ledger")
    return {name: value for name, value in found.items() if value}


def test_half_of_a_surrogate_pair(stack: Stack) -> None:
    """An emoji that a client has cut in two is shown, and replayed, as it was signed."""
    alter(stack, FORBID.replace("'poison'", "'mcp_save'"))
    api = Api(stack.ready["url"], stack.ready["apiKey"])
    client = CommandLine(api, stack.ready["projectId"], stack.ready["hmacSecret"])
    event, _ = client.save("x" * 79 + "😀")
    payload = f'"payload":{stringify(event)},'.encode()
    wait_until(lambda: payload in api.raw("GET", "/api/v2/dead-letters")[1], 20)
    assert "\\ud83d" in stringify(event)
    (letter,) = api.fetch("GET", "/api/v2/dead-letters")["deadLetters"]
    assert "\\ud83d" in letters(stack, "show", letter["id"])
    alter(stack, "DROP TRIGGER forbid")
    letters(stack, "replay", letter["id"])
    path = f"/api/v2/events?projectId={client.project}"
    wait_until(lambda: payload in api.raw("GET", path)[1], 20)


def test_replay(stack: Stack) -> None:
    """A refused event is a dead letter with the reason; replayed, it is stored once, unchanged."""
    alter(stack, FORBID)
    sent = json.loads(stack.run("send", "poison", '{ "n":1.0 }', "--json"))
    stack.run("send", "saved")
    wait_until(lambda: bool(json.loads(letters(stack, "list", "--json"))), 20)
    wait_until(lambda: ledger(stack).get("stored") == 1, 20)
    assert ledger(stack) == {"accepted": 2, "stored": 1, "deadLettered": 1, "balanced": True}
    (letter,) = json.loads(letters(stack, "list", "--project", "demo", "--json"))
    assert (letter["eventId"], letter["event"]) == (sent["eventId"], "poison")
    assert "poison is forbidden" in letter["why"]

    alter(stack, "DROP TRIGGER forbid")
    assert letters(stack, "replay", letter["id"]) == "Replayed 1 dead letter.\n"
    assert ask(stack, f"/api/v2/dead-letters/{letter['id']}/replay", "POST") == {"replayed": False}
    wait_until(lambda: ledger(stack).get("stored") == 2, 20)
    wait_until(lambda: ledger(stack) == {"accepted": 2, "stored": 2, "balanced": True}, 20)
    (event,) = [event for event in stack.events() if event["event"] == "poison"]
    same = ("eventId", "projectId", "sessionId", "payload", "timestamp", "receivedAt")
    assert {name: event[name] for name in same} == {name: letter[name] for name in same}
    assert letters(stack, "list") == "No dead letter.\n"
