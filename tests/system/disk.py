"""Small disks that can be filled: each a tmpfs of its own.

Mounting needs root, or a namespace in which the user is root; `in_own_mounts` gives the command
that runs another one there. Mounts made inside vanish with the last process in it.
"""

import contextlib
import os
import subprocess
from pathlib import Path

BLOCK = bytes(1 << 16)


def in_own_mounts(command: list[str]) -> list[str]:
    """A command that runs another with mounts of its own, and the right to make them."""
    map_user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", "--mount", *map_user, "--", *command]


class Disk:
    """A mounted tmpfs."""

    def __init__(self, directory: Path, megabytes: int) -> None:
        self.directory = directory
        self._filler = directory / "filler"
        directory.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "chaos"]
        subprocess.run(["mount", *options, str(directory)], check=True)

    def fill(self) -> None:
        """Leave no byte free."""
        with self._filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(BLOCK):
                pass

    def empty(self) -> None:
        """Free what `fill` took."""
        self._filler.unlink(missing_ok=True)

    def end(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", "--lazy", str(self.directory)], check=True)
