"""The measurement of the start, run once."""

from bench.startup import measure


async def test_startup() -> None:
    """A gateway of two processes is started, answers 202, and is timed."""
    figures = await measure(rounds=1, processes=2)
    assert (figures["rounds"], figures["processes"]) == (1, 2)
    assert 0 < figures["first202Ms"] <= figures["first202MsMax"]
    assert figures["cpuMs"] > 0
