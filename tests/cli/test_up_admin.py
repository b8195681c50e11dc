"""The admin that the first start of `up` makes: shown once, and never again."""

import json
import re
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import SCRIPT, Stack, paste, until
from tests.cli.test_up import printed

pytestmark = pytest.mark.xdist_group("up")


def test_first_admin(tmp_path: Path) -> None:
    """Password and key are printed once, open the API, and are in no file but the ready file; the
    next start shows neither."""
    stack = Stack(tmp_path)
    try:
        see_admin(stack.wait_ready())
        assert stack.stop(signal.SIGTERM).status == 0
        stack = Stack(tmp_path).wait_ready()
        assert stack.ready["apiKey"] is None
        assert "password" not in stack.out
    finally:
        stack.end()


def test_start_that_fails(tmp_path: Path) -> None:
    """A first start of which a part fails shows no admin, and the next one does."""
    spool = {"CONTOX_SPOOL_DIR": str(Path(SCRIPT) / "spool")}  # below a file: the gateway ends
    failed = Stack(tmp_path, **spool)
    result = failed.wait()
    assert (result.status, result.out) == (1, "")
    assert "gateway ended at its start" in result.err
    stack = Stack(tmp_path)
    try:
        see_admin(stack.wait_ready())
    finally:
        stack.end()


def test_ready_file_that_fails(tmp_path: Path) -> None:
    """An admin that was made is shown, though the ready file cannot be written."""
    stack = Stack(tmp_path)
    try:
        until(stack.parts)
        stack.ready_file.mkdir()
        result = stack.wait()
        assert (result.status, "cannot be written" in result.err) == (1, True)
        assert re.search(r"  password \S{16}.*\n  API key  contox_sk_\w{43}\n", result.out)
    finally:
        stack.end()


def see_admin(stack: Stack) -> None:
    """The admin that was printed can sign in, and is the one of the printed key."""
    email, password = (printed(stack, f"  {word} ").split()[-1] for word in ("email", "password"))
    assert printed(stack, "  API key ").split()[-1] == stack.ready["apiKey"]
    url = stack.ready["url"]
    me = paste(
        f"curl -sS {url}/api/auth/me -H 'Authorization: Bearer {stack.ready['apiKey']}'",
        stack.data_dir,
    )
    assert (me.json["email"], me.json["role"]) == (email, "admin")
    body = json.dumps({"email": email, "password": password})
    signed_in = paste(
        f"curl -sS {url}/api/auth/sign-in -H 'Content-Type: application/json' -d '{body}'",
        stack.data_dir,
    )
    assert signed_in.json == me.json
    for path in stack.data_dir.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert password.encode() not in content, path
        assert stack.ready["apiKey"].encode() not in content, path
