"""Events from their numbers, read back by the parser that the gateway reads them with."""

import pytest

from core.body import Limits, parse
from core.compression import Encoding
from loadtest.events import TYPE, event, event_id, parse_id, payload
from tests.loadtest.conftest import RUN


@pytest.mark.parametrize(("process", "number"), [(0, 0), (3, 17), (63, 999_999_999_999)])
def test_id(process: int, number: int) -> None:
    """An id holds its run, process and number, and gives them back to its own run only."""
    identity = event_id(RUN, process, number)
    assert identity == f"lt-{RUN}-{process}-{number}"
    assert parse_id(identity, RUN) == (process, number)
    assert parse_id(identity, "ffffffff") is None


@pytest.mark.parametrize(
    "identity",
    [
        "",
        "evt_01J0000000000000000000000A",
        f"lt-{RUN}",
        f"lt-{RUN}-0",
        f"lt-{RUN}-0-",
        f"lt-{RUN}-0-x",
        f"lt-{RUN}-0--1",
        f"lt-{RUN}-0-1 ",
        f"lt-{RUN}-0-1\n",
        f"xlt-{RUN}-0-1",
        f"lt-{RUN}-1000-1",
        f"lt-{RUN}-0-1234567890123",
    ],
)
def test_other_ids(identity: str) -> None:
    """What is not exactly an id of the load test's is another's."""
    assert parse_id(identity, RUN) is None


@pytest.mark.parametrize("number", [0, 7, 1_000_000])
@pytest.mark.parametrize("size", [60, 600, 200_000])
def test_payload(number: int, size: int) -> None:
    """A payload is about as long as is asked for, and the same each time it is made."""
    identity = event_id(RUN, 0, number)
    made = payload(identity, number, size)
    assert abs(len(made) - size) <= 15
    assert made == payload(identity, number, size)


def test_payloads_differ() -> None:
    """Another number, process or run has another payload, even at the same length."""
    identities = [event_id(run, p, n) for run in (RUN, "ffffffff") for p in (0, 1) for n in (1, 2)]
    assert len({payload(identity, 1, 100) for identity in identities}) == len(identities)


@pytest.mark.parametrize("size", [60, 600])
def test_as_the_gateway_reads_it(size: int) -> None:
    """The gateway's parser takes an event, with the payload to the byte as it can be made again."""
    text = event(RUN, 2, 5, size).encode()
    batch = parse(
        text, content_type=b"application/json", encoding=Encoding.IDENTITY, limits=Limits()
    )
    (read,) = batch.events
    assert read is not None
    assert (read.id, read.event) == (event_id(RUN, 2, 5), TYPE)
    assert bytes(read.payload).decode() == payload(event_id(RUN, 2, 5), 5, size)
