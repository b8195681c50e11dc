"""The admin that the first start of `up` makes: shown once, and never again."""

import json
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Stack, paste
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
