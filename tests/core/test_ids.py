"""Pinned ids, so that no change of the derivation goes unseen; what moves an id and what not."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ids import (
    crockford,
    event_id,
    event_ids,
    key_id,
    project_id,
    session_id,
    time_ms_of,
    user_id,
)

MAC = bytes(range(32))
BASE_32 = str.maketrans("ABCDEFGHJKMNPQRSTVWXYZ", "abcdefghijklmnopqrstuv")


def derived(project: str = "proj_1", mac: bytes = MAC, count: int = 1) -> list[str]:
    """The ids of one request's events, but for what is given."""
    return event_ids(project, timestamp_s=1705312200, mac=mac, count=count)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (0, "evt_01HM68E9A0J1N04R7CTQEX8CWX"),
        (1, "evt_01HM68E9A0J1N04R7CTQEX8CWY"),
        (4_999, "evt_01HM68E9A0J1N04R7CTQEX8HS4"),
    ],
)
def test_derived_ids_are_stable(index: int, expected: str) -> None:
    """The same request gives the same ids in every release: a replay is not a new event."""
    assert derived(count=index + 1)[index] == expected


def test_one_event() -> None:
    """The id of an event that comes alone is that of a batch's first."""
    assert event_id("proj_1", timestamp_s=1705312200, mac=MAC) == derived(count=2)[0]


def test_derived_ids_differ() -> None:
    """Index, MAC and project each change the id."""
    ids = {*derived(count=2), *derived(mac=MAC[::-1]), *derived(project="proj_2")}
    assert len(ids) == 4


@pytest.mark.parametrize("tail", ["00" * 10, "ff" * 10, "00" * 8 + "03fe", "ff" * 8 + "fc00"])
def test_derived_ids_count_up(tail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index is added to the hash; past the last number comes zero."""
    digest = SimpleNamespace(digest=lambda: bytes.fromhex(tail) + bytes(22))
    monkeypatch.setattr("core.ids.hashlib", SimpleNamespace(sha256=lambda _text: digest))
    tails = [(int(tail, 16) + index) % (1 << 80) for index in range(3_000)]
    assert derived(count=3_000) == [
        "evt_" + crockford(1705312200000, number.to_bytes(10)) for number in tails
    ]


def test_ids_of_a_batch_are_in_order() -> None:
    """But for the one batch of many whose numbers pass the last."""
    assert derived(count=5_000) == sorted(derived(count=5_000))


def test_derived_id_begins_with_the_signed_time() -> None:
    """The signed time leads an event's id, so that keys arrive in order."""
    assert time_ms_of(derived()[0]) == 1705312200000


@pytest.mark.parametrize(
    ("make", "prefix"),
    [(session_id, "sess_"), (project_id, "proj_"), (user_id, "user_"), (key_id, "key_")],
)
def test_random_ids_are_time_and_entropy(make: Callable[[int, bytes], str], prefix: str) -> None:
    """Ids of what is no event are a prefix and a ULID of their time and entropy."""
    # The example of https://github.com/ulid/spec: 01ARZ3NDEKTSV4RRFFQ69G5FAV
    entropy = bytes.fromhex("d6764c61efb99302bd5b")
    assert make(1469922850259, entropy) == prefix + "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("evt_", id="prefix only"),
        pytest.param("evt_" + "0" * 25, id="short"),
        pytest.param("evt_" + "0" * 27, id="long"),
        pytest.param("evt_" + "U" * 26, id="letter not in the alphabet"),
        pytest.param("evt_" + "a" * 26, id="lower case"),
        pytest.param("0" * 26 + "_", id="prefix last"),
    ],
)
def test_time_of_another_text_is_a_value_error(text: str) -> None:
    """What does not end in 26 characters of the alphabet has no time in it."""
    with pytest.raises(ValueError):
        time_ms_of(text)


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_crockford_is_a_number_in_base_32(time_ms: int, tail: bytes) -> None:
    """The 26 digits are the 128 bits as Python reads base 32, and the time comes back."""
    text = crockford(time_ms, tail)
    assert int(text.translate(BASE_32), 32).to_bytes(16) == time_ms.to_bytes(6) + tail
    assert len(text) == 26
    assert time_ms_of(text) == time_ms


@given(st.lists(st.tuples(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))))
def test_ids_sort_by_time(parts: list[tuple[int, bytes]]) -> None:
    """Ids sort as their times do, and within one time as their tails."""
    assert sorted(crockford(*part) for part in parts) == [
        crockford(*part) for part in sorted(parts)
    ]
