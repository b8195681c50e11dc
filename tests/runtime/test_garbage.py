"""The search for garbage passes by what the start has made."""

import subprocess
import sys

TELLS = """
import gc
from runtime.garbage import SELDOM, set_aside
kept = [[] for _ in range(10_000)]
set_aside()
assert gc.get_threshold() == SELDOM
assert gc.get_freeze_count() > 10_000
assert len(gc.get_objects()) < 1_000
"""


def test_set_aside() -> None:
    """What there is at the time is not looked at again, and there are fewer searches."""
    subprocess.run([sys.executable, "-c", TELLS], check=True)
