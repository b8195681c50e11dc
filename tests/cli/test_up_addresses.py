"""What `up` makes of addresses, ports and its own command, without a stack."""

from pathlib import Path

import pytest

from cli.errors import CliError
from cli.up import _check_port, _command, local_url
from tests.cli.conftest import SCRIPT


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed calls the command by name, else from here, else by its whole path."""
    monkeypatch.setenv("PATH", str(Path(SCRIPT).parent))
    assert _command() == "contox-ingest"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert _command() == SCRIPT
    monkeypatch.chdir(Path(SCRIPT).parent.parent)
    assert _command() == "bin/contox-ingest"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("box.lan", "http://box.lan:80"),
    ],
)
def test_url(host: str, url: str) -> None:
    """The address is one that this machine can call, whatever is listened on."""
    assert local_url(host, "80") == url


def test_other_address() -> None:
    """An address that is not this machine's is one sentence."""
    with pytest.raises(CliError, match=r"^Cannot listen on 192\.0\.2\.1 port 8080: Cannot assign"):
        _check_port("192.0.2.1", 8080)
