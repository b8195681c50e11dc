"""The README's examples, run as they are printed."""

import re
import subprocess
import sys
from pathlib import Path

from tests.system.conftest import Stack, wait_until

ROOT = Path(__file__).parent.parent.parent


def blocks(language: str) -> list[str]:
    """The README's code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def shell(stack: Stack, containing: str) -> str:
    """Run the shell block that contains a text; returns what it printed."""
    (block,) = [block for block in blocks("sh") if containing in block]
    environ = {**stack.environ(), "XDG_DATA_HOME": str(stack.directory)}
    done = subprocess.run(
        ["bash", "-euc", block], env=environ, cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_examples(stack: Stack) -> None:
    """Sending with our command, with curl and with Python, then reading back and rotating."""
    (stack.directory / "contox-ingest").symlink_to(stack.data)
    assert "Accepted (fsynced)" in shell(stack, "send session_save")
    assert '"status":"accepted"' in shell(stack, "openssl dgst")
    (program,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", program], env=stack.environ(), capture_output=True, check=True
    )
    assert done.stdout.startswith(b"202 fsynced ['")
    wait_until(lambda: len(stack.events()) == 7, 10)
    assert "session_save" in shell(stack, "events --project demo\n")
    assert "There is no dead letter of project demo." in shell(stack, "dead-letters list")
    assert "whsec_" in shell(stack, "project create")
    assert '"prefix":"contox_sk_' in shell(stack, "user create")
