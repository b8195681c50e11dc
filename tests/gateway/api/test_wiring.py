"""The API as a whole: nothing secret is logged or kept in clear, whatever is done."""

import subprocess
import sys

import pytest
from redis.asyncio import Redis

from tests.gateway.api.conftest import PASSWORD, People, Person
from tests.raw_http import Producer


async def test_routes(people: People) -> None:
    """Each path and method is there once."""
    routes = [(route.method, route.path) for route in people.running.gateway.api.routes()]
    assert len(set(routes)) == len(routes)
    assert all(path.startswith("/api/") or path == "/openapi.json" for _, path in routes)


async def test_secrets(
    people: People, ada: Person, queue: Redis, capfd: pytest.CaptureFixture[str]
) -> None:
    """No password, key, cookie, token or signing secret is in the logs, in Redis or in the rows."""
    _, cookie = await people.sign_in("ada")
    secret = cookie.partition("contox_session=")[2].partition("\r")[0]
    made = (await people.ask("POST", "/api/keys", cookie, {"name": "x"})).json
    line = f"Authorization: Bearer {made['key']}\r\n"
    await people.ask("GET", "/api/keys", line)
    await people.ask("DELETE", "/api/keys", line, {"keyId": made["id"]})
    await people.ask("GET", "/api/keys", line)
    project = (await people.ask("POST", "/api/projects", cookie, {"name": "x"})).json["id"]
    path = f"/api/projects/{project}"
    signing = [(await people.ask("GET", f"{path}/hmac-secret", cookie)).json["hmacSecret"]]
    signing += [(await people.ask("POST", f"{path}/rotate", cookie)).json["hmacSecret"]]
    for text in signing:
        assert (await Producer(people.running.gateway.port, project, text).post()).status == 202
    await people.sign_in("ada", PASSWORD + "?")
    await people.ask("POST", "/api/auth/sign-out", cookie, {"everywhere": True})
    await people.ask(
        "POST", "/api/auth/sign-in", "", b'{"email": 1, "password": "%s"}' % b"hunter2"
    )
    kept = [str(await people.users.list()), str(await people.keys.of_user(ada.user.id))]
    kept += [f"{name!r} {await queue.dump(name)!r}" for name in await queue.keys("*")]
    logged = "".join(capfd.readouterr())
    assert "signed in" in logged
    kept += [str(await people.running.projects.keys(project))]
    for text in (PASSWORD, ada.key, made["key"], secret, "t" * 40, "hunter2", *signing):
        assert text not in logged
        assert not any(text in each for each in kept)


def test_start_does_not_import_what_is_slow() -> None:
    """A gateway starts without what hashes passwords and counts requests, which takes a while."""
    code = "import sys, gateway.main; sys.exit(bool({'limits', 'argon2'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
