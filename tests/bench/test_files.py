"""The limit of open files."""

import resource

import pytest

from bench.files import allow_files
from bench.processes import BenchError


def test_enough() -> None:
    """A limit that is high enough is left as it is."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    allow_files(10)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_forbidden() -> None:
    """A number that no system allows is an error that says where to look."""
    with pytest.raises(BenchError, match="ulimit"):
        allow_files(1 << 62)
