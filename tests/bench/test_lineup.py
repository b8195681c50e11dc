"""How peers are prepared, and how they are missing."""

from pathlib import Path

import pytest

from bench import lineup
from bench.lineup import PEERS_OF_THE_TABLE, Missing, fastify, go, nginx, prepare


def test_no_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A toolchain that is not there is named, with the package that has it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for command, package in ((go("pool"), "golang-go"), (fastify, "nodejs"), (nginx, "nginx")):
        with pytest.raises(Missing, match=f"apt-get install {package}"):
            command(tmp_path, 1)


def test_cannot_be_prepared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A step that fails makes the peer missing, with the step's last words."""
    monkeypatch.setattr(lineup, "BUILD", tmp_path)
    with pytest.raises(Missing, match="cannot be prepared: second"):
        prepare("X", ["sh", "-c", "echo first >&2; echo second >&2; exit 1"])


def test_nginx_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """nginx is told the port that was chosen."""
    monkeypatch.setattr("shutil.which", lambda name: name)
    nginx(tmp_path, 12345)
    assert "listen 127.0.0.1:12345 " in (tmp_path / "nginx.conf").read_text()


def test_peers() -> None:
    """All but the floor and nginx do the same checks; all but nginx append."""
    unchecked = [peer.name for peer in PEERS_OF_THE_TABLE if not peer.checks]
    assert [name.split()[0] for name in unchecked] == ["floor:", "nginx,"]
    assert [peer.name for peer in PEERS_OF_THE_TABLE if not peer.appends] == unchecked[1:]


def test_packages() -> None:
    """The versions of the peers' packages are those of their lock files."""
    assert {"fastapi", "uvicorn", "redis", "fastify", "ioredis"} <= lineup.packages().keys()


def test_node_lock_names_no_registry() -> None:
    """The lock file of the Node peer has hashes, and no address that a package comes from."""
    text = (lineup.PEERS / "fastify/package-lock.json").read_text()
    assert '"resolved"' not in text
    assert '"integrity": "sha512-' in text
