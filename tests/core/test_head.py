"""Header names in every case, headers given twice, and fuzz: only Rejected may come out."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import AuthFailure, Reason, Rejected
from core.head import FIELD_OF, Head, read_head

AUTHENTICATION = [b"X-Contox-Project", b"X-Contox-Timestamp", b"X-Contox-Signature"]


def test_absent_headers_are_none() -> None:
    """A request without headers gives a head of nothing but None."""
    assert read_head([]) == Head(None, None, None, None, None)


@pytest.mark.parametrize(
    "change", [bytes.lower, bytes.upper, bytes.title], ids=lambda f: f.__name__
)
def test_names_are_matched_without_regard_to_case(change: Callable[[bytes], bytes]) -> None:
    """Each header is found under its name in any case; others are ignored."""
    headers = [
        (b"Host", b"h"),
        (b"X-Contox-Project", b"p"),
        (b"Content-Type", b"t"),
        (b"X-Contox-Timestamp", b"1"),
        (b"Content-Encoding", b"e"),
        (b"X-Contox-Signature", b"s"),
        (b"X-Contox-Projects", b"other"),
    ]
    head = read_head([(change(name), value) for name, value in headers])
    assert head == Head(
        project=b"p", timestamp=b"1", signature=b"s", content_type=b"t", content_encoding=b"e"
    )


def test_values_stay_bytes() -> None:
    """An empty value is not an absent one, and a value that is not ASCII stays as it came."""
    head = read_head([(b"X-Contox-Project", b""), (b"X-Contox-Signature", b"\xff\x00")])
    assert head == Head(project=b"", signature=b"\xff\x00")


@pytest.mark.parametrize("second", [b"same", b"other", b""], ids=["equal", "different", "empty"])
@pytest.mark.parametrize("name", AUTHENTICATION, ids=bytes.decode)
def test_repeated_authentication_header_is_unauthorized(name: bytes, second: bytes) -> None:
    """An authentication header given twice is refused, even if both say the same."""
    with pytest.raises(Rejected) as caught:
        read_head([(name, b"same"), (b"Accept", b"*/*"), (name.lower(), second)])
    assert caught.value.reason is Reason.UNAUTHORIZED
    assert caught.value.failure is AuthFailure.DUPLICATE_HEADER


def test_repeated_content_header_is_joined() -> None:
    """A content header given twice is joined with a comma, in the order it came."""
    head = read_head([(b"Content-Encoding", b"gzip"), (b"content-encoding", b"zstd")])
    assert head.content_encoding == b"gzip, zstd"


@given(st.lists(st.tuples(st.sampled_from(sorted(FIELD_OF)) | st.binary(), st.binary())))
def test_read_head_is_total(headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever the headers are, a Head or Rejected comes out."""
    names = [name.lower() for name, _ in headers]
    twice = any(names.count(name.lower()) > 1 for name in AUTHENTICATION)
    try:
        read_head(headers)
    except Rejected:
        assert twice
    else:
        assert not twice
