"""How many processes a gateway is, and what each of them gets."""

import os
from pathlib import Path

import pytest

from core.settings import read
from gateway.processes import count_of, share_of, usable_cores

COUNTS = {
    "default-is-loopback": ({}, 1),
    "all-addresses": ({"CONTOX_HOST": "0.0.0.0"}, 6),
    "all-addresses-ipv6": ({"CONTOX_HOST": "::"}, 6),
    "a-name": ({"CONTOX_HOST": "gateway.internal"}, 6),
    "localhost": ({"CONTOX_HOST": "localhost"}, 1),
    "loopback-ipv6": ({"CONTOX_HOST": "::1"}, 1),
    "unix": ({"CONTOX_UDS": "/run/gateway.sock"}, 1),
    "unix-and-all-addresses": ({"CONTOX_UDS": "/run/g.sock", "CONTOX_HOST": "0.0.0.0"}, 6),
    "told": ({"CONTOX_PROCESSES": "3"}, 3),
    "told-one": ({"CONTOX_PROCESSES": "1", "CONTOX_HOST": "0.0.0.0"}, 1),
}


@pytest.mark.parametrize(("environ", "expected"), COUNTS.values(), ids=COUNTS)
def test_count(environ: dict[str, str], expected: int) -> None:
    """A standalone gateway is one process for each core, a sidecar is one; what is said counts."""
    assert count_of(read(environ), lambda: 6) == expected


def test_usable_cores(tmp_path: Path) -> None:
    """A container's quota bounds the cores, rounded up; without one the affinity does."""
    cores = len(os.sched_getaffinity(0))
    quota = tmp_path / "cpu.max"
    assert usable_cores(quota) == cores
    for text, expected in (
        ("max 100000\n", cores),
        ("50000 100000\n", 1),
        ("100001 100000\n", min(2, cores)),
        ("100000000 100000\n", cores),
        ("nonsense", cores),
    ):
        quota.write_text(text)
        assert usable_cores(quota) == expected


def test_share() -> None:
    """The bounds of a gateway are divided among its processes, rounded up."""
    settings = read({"CONTOX_SPOOL_DIR": "/spool", "CONTOX_CONNECTIONS_MAX": "10"})
    shares = [share_of(settings, number, 3) for number in range(3)]
    assert [s.connections_max for s in shares] == [4] * 3
    assert [s.inflight_bytes_max for s in shares] == [-(-(64 << 20) // 3)] * 3
    assert [s.spool_bytes_max for s in shares] == [-(-(1 << 30) // 3)] * 3
    assert [s.spool_dir for s in shares] == ["/spool", "/spool/process-1", "/spool/process-2"]
    assert shares[0].quota_events_s == settings.quota_events_s
    assert share_of(settings, 0, 1) == settings


def test_share_that_is_too_small() -> None:
    """Each process can take the largest request, however many there are; no spool stays none."""
    share = share_of(read({}), 1023, 1024 * 2)
    assert share.inflight_bytes_max == share.decoded_bytes_max
    assert share.spool_bytes_max == 1 << 20  # the least that the setting takes
    assert share.spool_dir == ""
