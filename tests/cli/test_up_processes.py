"""How many processes the gateway of `up` is."""

from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import Stack, until

pytestmark = pytest.mark.xdist_group("up")


@pytest.mark.parametrize(("environ", "children"), [({}, 0), ({"CONTOX_PROCESSES": "2"}, 2)])
def test_processes(tmp_path: Path, environ: dict[str, str], children: int) -> None:
    """It is one, on any address, unless it is told; killed, it is started again as a whole."""
    stack = Stack(tmp_path, "--host", "0.0.0.0", **environ)
    try:
        stack.wait_ready()
        gateway = stack.parts()["gateway"]
        until(lambda: len(gateway.children()) == children)
        before = gateway.children()
        gateway.kill()

        def replaced() -> psutil.Process | None:
            found = stack.parts().get("gateway")
            return found if found and found.pid != gateway.pid else None

        def complete() -> bool:
            try:
                found = replaced()
                return found is not None and len(found.children()) == children
            except psutil.NoSuchProcess:  # a zombie's error, too: it has ended meanwhile
                return False

        until(complete)
        assert psutil.wait_procs(before, 10)[1] == []
        assert stack.stop().status == 0
    finally:
        stack.end()
