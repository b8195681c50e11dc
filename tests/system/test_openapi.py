"""The contract against a running gateway: schemathesis makes requests of it, good and bad, and
judges every answer by all of its checks: that no 5xx comes, that what the document forbids is
refused and what it allows is taken, that answers have the shapes and credentials are asked for."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.system.conftest import Stack

ROOT = Path(__file__).parent.parent.parent
SCHEMATHESIS = str(Path(sys.executable).parent / "schemathesis")
INGEST = "/api/v2/ingest"
OPTIONS = [
    *("--checks", "all", "--continue-on-failure", "--no-color", "--max-examples", "20"),
    *("--output-truncate", "false", "--generation-database", "none"),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that lets anyone try to sign in as often as they like."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTOX_SIGN_IN_ADDRESS_TRIES", "1000000")
        patch.setenv("CONTOX_SIGN_IN_ACCOUNT_TRIES", "1000000")
        running = Stack(tmp_path_factory.mktemp("openapi"))
        running.start()
        yield running
        running.stop()


def run(stack: Stack, *options: str, sign: bool = False) -> tuple[int, str]:
    """(how many requests were made, what was printed) of a run. Fails with all it says, if
    anything fails.

    With `--max-time` a run makes requests until the seconds are over; without, a number of them.
    """
    environ = stack.environ() if sign else dict(os.environ)
    environ |= {"SCHEMATHESIS_HOOKS": "tests.system.openapi_hooks", "PYTHONPATH": str(ROOT)}
    command = [SCHEMATHESIS, "run", f"{stack.ready['url']}/openapi.json", *OPTIONS]
    done = subprocess.run(
        [*command, *options],
        env=environ,
        cwd=stack.directory,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    generated = re.search(r"([\d,]+) generated", done.stdout)
    assert generated, done.stdout
    return int(generated[1].replace(",", "")), done.stdout


def test_ingest(stack: Stack) -> None:
    """Signed by headers, or as an envelope, what the contract allows is taken, and nothing else.

    This comes first: an admin who tries everything may disable the project.
    """
    generated, printed = run(stack, "--max-time", "10", "--include-path", INGEST, sign=True)
    assert generated > 50
    assert "Authentication failed" not in printed


def cookie_of(stack: Stack) -> str:
    """The cookie of the first admin, who signs in."""
    password = re.search(r"password +(\S+)", stack.printed())
    assert password
    sign_in = {"email": "admin@localhost", "password": password[1]}
    answer = requests.post(f"{stack.ready['url']}/api/auth/sign-in", json=sign_in, timeout=20)
    return answer.headers["Set-Cookie"].partition(";")[0]


def as_a_page(stack: Stack, cookie: str) -> tuple[str, ...]:
    """The options that send a cookie, from a page of the gateway's own."""
    return ("--header", f"Cookie: {cookie}", "--header", f"Origin: {stack.ready['url']}")


def test_a_cookie_is_taken(stack: Stack) -> None:
    """Keys and projects are listed and made with a cookie.

    This comes before the others that make projects: each run tries the same names first, and those
    that the admin has are refused, so that nothing might be left that is taken.
    """
    taken = ("--include-path", "/api/keys", "--include-path", "/api/projects")
    sent = as_a_page(stack, cookie_of(stack))
    generated, printed = run(stack, *sent, *taken, "--phases", "coverage,fuzzing")
    assert generated > 100
    only_401 = printed.partition("Authentication failed")[2].partition("Missing test data")[0]
    for name in ("GET /api/keys", "POST /api/keys", "GET /api/projects", "POST /api/projects"):
        assert f"- {name}\n" not in only_401


def test_with_a_key(stack: Stack) -> None:
    """With an admin's key, all that is asked is answered as the contract says."""
    key = f"Authorization: Bearer {stack.ready['apiKey']}"
    generated, _ = run(stack, "--max-time", "25", "--header", key, "--exclude-path", INGEST)
    assert generated > 300


def test_with_a_cookie(stack: Stack) -> None:
    """The same with an admin's cookie, on a page of the gateway's own."""
    cookie = cookie_of(stack)
    others = ("--exclude-path", INGEST, "--exclude-path", "/api/auth/sign-out")
    generated, _ = run(stack, "--max-time", "15", *as_a_page(stack, cookie), *others)
    assert generated > 100
    me = requests.get(f"{stack.ready['url']}/api/auth/me", headers={"Cookie": cookie}, timeout=20)
    assert me.status_code == 200  # to the end


def test_without_credentials(stack: Stack) -> None:
    """Without credentials nothing is given away, and nothing breaks; ingest included."""
    generated, printed = run(stack, "--max-time", "20")
    assert generated > 300
    assert "Authentication failed" in printed
