"""The sender beside wrk, for a second or two."""

from bench.sender import fixed_target, harness, wrk


def test_fixed_target() -> None:
    """Both send to a target that checks nothing, and tell their rates."""
    with fixed_target() as ready:
        assert wrk(ready, 1) > 100
        assert harness(ready, 2) > 100
