"""The parts of the core, a few calls each."""

from bench.micro import US, measure, parts
from tests.bench.conftest import TINY


def test_micro() -> None:
    """Each part is timed."""
    rows = measure(TINY, calls=50)["rows"]
    assert rows.keys() == parts().keys()
    assert all(0 <= row[US] < 100_000 for row in rows.values())


def test_parts_do_their_work() -> None:
    """What is timed verifies, parses, encodes and names what it should."""
    found = {name: part() for name, (part, _) in parts().items()}
    assert found["core.body.parse, batch of 100"].count == 100  # type: ignore[attr-defined]
    assert len(found["core.auth.verify, 774 bytes"]) == 32  # type: ignore[arg-type]
    assert str(found["core.ids.event_id"]).startswith("evt_")
    assert bytes(found["core.codec.encode_header"]).startswith(b"1|proj_")  # type: ignore[call-overload]
