"""What a template reads is what the parser reads of the same bytes, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.head import Head
from gateway.head_template import NONE, TEMPLATES_MAX, template_of, with_one_more
from gateway.plain_head import read_plain

PROJECT, SIGNATURE = b"proj_1", b"sha256=" + b"0123456789abcdef" * 4
ORDERS = st.permutations(range(6))


def raw(
    project: bytes = PROJECT,
    timestamp: bytes = b"1705312200",
    signature: bytes = SIGNATURE,
    length: bytes = b"774",
    *,
    order: list[int] | None = None,
    space: bytes = b" ",
    upper: bool = False,
    more: bytes = b"",
) -> bytes:
    """A head as a client writes it."""
    names = [b"X-Contox-Project", b"X-Contox-Timestamp", b"X-Contox-Signature", b"Content-Length"]
    lines = [
        (name.upper() if upper else name) + b":" + space + value
        for name, value in zip(names, (project, timestamp, signature, length), strict=True)
    ]
    lines += [b"Host: x", b"Content-Type: application/json"]
    lines = [lines[index] for index in order or range(6)]
    return b"POST /api/v2/ingest HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n" + more + b"\r\n"


@given(ORDERS, st.sampled_from([b"", b" ", b"\t  "]), st.booleans())
def test_other_values(order: list[int], space: bytes, upper: bool) -> None:
    """In any order, case and spacing of headers: what comes next is read with its own values."""
    first = raw(order=order, space=space, upper=upper)
    then = raw(
        b"proj_2",
        b"1705312201",
        SIGNATURE[:-1] + b"0",
        b"900",
        order=order,
        space=space,
        upper=upper,
    )
    plain = read_plain(first)
    assert plain is not None
    template = template_of(first, plain[0])
    assert template is not None
    assert template.read(first, 0) == plain
    assert template.read(b"..." + then + b"body", 3) == read_plain(then)
    assert template.read(bytearray(then), 0) == read_plain(then)
    assert read_plain(then) == (
        Head(b"proj_2", b"1705312201", SIGNATURE[:-1] + b"0", b"application/json", None),
        900,
    )


@given(st.integers(0, len(raw()) - 1), st.binary(min_size=1, max_size=3))
def test_any_other_bytes(at: int, put: bytes) -> None:
    """A head with other bytes in it, wherever: nothing is read that the parser does not read so."""
    first = raw()
    changed = first[:at] + put + first[at + len(put) :]
    plain = read_plain(first)
    assert plain is not None
    template = template_of(first, plain[0])
    assert template is not None
    read = template.read(changed[: len(first)], 0)
    assert read is None or read == read_plain(changed[: len(first)])


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"project": b"p\r\nA:b"}, id="line in a project"),
        pytest.param({"timestamp": b"1\r\nabc: de"}, id="line in a timestamp"),
        pytest.param(
            {"signature": b"sha256=" + (b"\r\nContent-Length: 5\r\nA: ").ljust(64, b"b")}, id="line"
        ),
        pytest.param({"length": b"7 4"}, id="space in a length"),
        pytest.param({"length": b"+74"}, id="sign in a length"),
        pytest.param({"timestamp": "１7".encode() * 2 + b"11"}, id="digits that are not ASCII"),
    ],
)
def test_values_that_break_out(values: dict[str, bytes]) -> None:
    """A value of the right size that holds more than a value is not read."""
    first, then = raw(), raw(**values)  # type: ignore[arg-type]
    plain = read_plain(first)
    assert plain is not None
    template = template_of(first, plain[0])
    assert template is not None
    assert len(then) == len(first)
    assert template.read(then, 0) is None


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(Head(None, b"1", SIGNATURE), id="no project"),
        pytest.param(Head(PROJECT, None, SIGNATURE), id="no timestamp"),
        pytest.param(Head(PROJECT, b"1", None), id="no signature"),
        pytest.param(Head(PROJECT, b"1", b"sha256=00"), id="short signature"),
        pytest.param(Head(PROJECT, b"1", b"md5=abc" + SIGNATURE[7:]), id="another algorithm"),
    ],
)
def test_heads_without_a_template(head: Head) -> None:
    """What lacks one of the values, or signs otherwise, is parsed each time."""
    assert template_of(raw(), head) is None
    assert with_one_more(NONE, raw(), head) is NONE


def test_as_many_as_there_is_room_for() -> None:
    """A connection has a template per size of its heads, up to a bound; the first is kept."""
    templates = NONE
    for digits in range(1, 9):
        first = raw(length=b"1" * digits)
        plain = read_plain(first)
        assert plain is not None
        templates = with_one_more(templates, first, plain[0])
        assert with_one_more(templates, first, plain[0]) is templates
    assert len(templates) == TEMPLATES_MAX
    assert len(NONE) == 0


def test_many_connections_share() -> None:
    """Connections of one kind of client have one template."""
    plain = read_plain(raw())
    assert plain is not None
    other = raw(project=b"proj_2")
    other_plain = read_plain(other)
    assert other_plain is not None
    assert template_of(raw(), plain[0]) is template_of(other, other_plain[0])
