"""Every encoding at its limit, over it, cut short, repeated and forged; fuzz: only Rejected."""

import gzip
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.compression import Encoding, decompress, parse_encoding, zstd
from core.errors import Reason, Rejected

TEXT = b'{"event":"session_save","payload":{"text":"hello hello hello"}}'
COMPRESS = {
    Encoding.IDENTITY: bytes,
    Encoding.GZIP: gzip.compress,
    Encoding.ZSTD: zstd.compress,
}
CODECS = [Encoding.GZIP, Encoding.ZSTD]
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\x00\x00\x00junk"  # RFC 8878, section 3.1.2


def refusal(body: bytes, encoding: Encoding, bytes_max: int = 1 << 20) -> Reason:
    """Why a body is not decoded."""
    with pytest.raises(Rejected) as caught:
        decompress(body, encoding, bytes_max=bytes_max)
    return caught.value.reason


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        (None, Encoding.IDENTITY),
        (b"", Encoding.IDENTITY),
        (b"identity", Encoding.IDENTITY),
        (b"gzip", Encoding.GZIP),
        (b"GZip", Encoding.GZIP),
        (b"zstd", Encoding.ZSTD),
    ],
)
def test_encoding_is_read_from_its_header(header: bytes | None, encoding: Encoding) -> None:
    """The three encodings are known in any case; none at all is identity."""
    assert parse_encoding(header) is encoding


@pytest.mark.parametrize(
    "header", [b"br", b"deflate", b"x-gzip", b"gzip, zstd", b"gzip,gzip", b"*", b"\xff", b" "]
)
def test_other_encoding_is_unsupported(header: bytes | None) -> None:
    """Any other encoding, two of them, or bytes that are not ASCII are unsupported."""
    with pytest.raises(Rejected) as caught:
        parse_encoding(header)
    assert caught.value.reason is Reason.UNSUPPORTED_MEDIA_TYPE


@pytest.mark.parametrize("encoding", Encoding)
def test_body_of_exactly_the_limit_is_decoded(encoding: Encoding) -> None:
    """A body that decodes to exactly the limit comes out whole."""
    assert decompress(COMPRESS[encoding](TEXT), encoding, bytes_max=len(TEXT)) == TEXT


@pytest.mark.parametrize("encoding", Encoding)
def test_body_one_byte_over_the_limit_is_too_large(encoding: Encoding) -> None:
    """A body that decodes to one byte over the limit is too large."""
    assert refusal(COMPRESS[encoding](TEXT), encoding, len(TEXT) - 1) is Reason.TOO_LARGE


@pytest.mark.parametrize("encoding", Encoding)
def test_empty_body_decodes_to_nothing(encoding: Encoding) -> None:
    """An empty body is empty in every encoding, framed or not."""
    assert decompress(b"", encoding, bytes_max=0) == b""
    assert decompress(COMPRESS[encoding](b""), encoding, bytes_max=0) == b""


@pytest.mark.parametrize("encoding", CODECS)
def test_bomb_costs_no_more_than_the_limit(encoding: Encoding) -> None:
    """A small body that decodes to 16 MiB is too large, and takes memory for 64 KiB of it."""
    bomb = COMPRESS[encoding](bytes(16 << 20))
    assert len(bomb) < 20_000
    tracemalloc.start()
    try:
        assert refusal(bomb, encoding, 64 << 10) is Reason.TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", CODECS)
def test_parts_may_follow_one_another(encoding: Encoding) -> None:
    """Several members or frames are one text, empty ones among them."""
    parts = [TEXT[:10], b"", TEXT[10:20], TEXT[20:]]
    body = b"".join(COMPRESS[encoding](part) for part in parts)
    assert decompress(body, encoding, bytes_max=len(TEXT)) == TEXT


@pytest.mark.parametrize(
    "part", [gzip.compress(b""), zstd.compress(b""), SKIPPABLE], ids=["gzip", "zstd", "skippable"]
)
def test_number_of_parts_is_bounded(part: bytes) -> None:
    """128 members or frames are decoded, however empty; one more is too large."""
    encoding = Encoding.GZIP if part.startswith(b"\x1f") else Encoding.ZSTD
    assert decompress(part * 128, encoding, bytes_max=0) == b""
    assert refusal(part * 129, encoding) is Reason.TOO_LARGE


@pytest.mark.parametrize("encoding", CODECS)
def test_limit_holds_for_all_parts_together(encoding: Encoding) -> None:
    """Members or frames that are each within the limit, but not together, are too large."""
    body = COMPRESS[encoding](TEXT) * 3
    assert refusal(body, encoding, 3 * len(TEXT) - 1) is Reason.TOO_LARGE


@pytest.mark.parametrize("encoding", CODECS)
def test_body_cut_short_anywhere_is_refused(encoding: Encoding) -> None:
    """A body that lacks its end, however much of it, is refused; so is a second part's end."""
    whole = COMPRESS[encoding](TEXT)
    for length in range(1, len(whole)):
        assert refusal(whole[:length], encoding) is Reason.INVALID_JSON
        assert refusal(whole + whole[:length], encoding) is Reason.INVALID_JSON


@pytest.mark.parametrize("junk", [b"\x00", b"x", b"junk" * 5, TEXT], ids=["NUL", "1", "20", "text"])
@pytest.mark.parametrize("encoding", CODECS)
def test_garbage_after_the_end_is_refused(encoding: Encoding, junk: bytes) -> None:
    """Bytes after the last part that do not begin another are refused."""
    assert refusal(COMPRESS[encoding](TEXT) + junk, encoding) is Reason.INVALID_JSON


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        pytest.param(TEXT, Encoding.GZIP, id="text as gzip"),
        pytest.param(TEXT, Encoding.ZSTD, id="text as zstd"),
        pytest.param(gzip.compress(TEXT), Encoding.ZSTD, id="gzip as zstd"),
        pytest.param(zstd.compress(TEXT), Encoding.GZIP, id="zstd as gzip"),
        pytest.param(gzip.compress(TEXT)[:-8] + bytes(8), Encoding.GZIP, id="wrong checksum"),
        pytest.param(gzip.zlib.compress(TEXT), Encoding.GZIP, id="zlib as gzip"),
    ],
)
def test_body_that_is_not_what_it_says_is_refused(body: bytes, encoding: Encoding) -> None:
    """A body in another encoding than its header says, or with a wrong checksum, is refused."""
    assert refusal(body, encoding) is Reason.INVALID_JSON


def test_skippable_frame_is_skipped() -> None:
    """A Zstandard frame of user data counts for nothing, as RFC 8878 has it."""
    body = SKIPPABLE + zstd.compress(TEXT) + SKIPPABLE
    assert decompress(body, Encoding.ZSTD, bytes_max=len(TEXT)) == TEXT


def frame(window: int) -> bytes:
    """A frame holding `{}`: magic, descriptor, window (exponent and mantissa), one raw block."""
    return b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([window]) + b"\x11\x00\x00" + b"{}"


@pytest.mark.parametrize("window", [0, 13 << 3], ids=["1 KiB", "8 MiB"])
def test_zstd_window_up_to_8_mib_is_decoded(window: int) -> None:
    """A frame that asks for a window of up to 8 MiB is decoded."""
    assert decompress(frame(window), Encoding.ZSTD, bytes_max=2) == b"{}"


@pytest.mark.parametrize(
    "window", [13 << 3 | 1, 14 << 3, 17 << 3, 31 << 3 | 7], ids=["9 MiB", "2^24", "2^27", "max"]
)
def test_zstd_window_over_8_mib_is_refused(window: int) -> None:
    """A frame that asks for a larger window is refused, however little it holds."""
    assert refusal(frame(window), Encoding.ZSTD) is Reason.INVALID_JSON


@given(st.none() | st.binary())
def test_parse_encoding_is_total(header: bytes | None) -> None:
    """Whatever the header holds, an encoding or Rejected comes out."""
    with suppress(Rejected):
        assert isinstance(parse_encoding(header), Encoding)


@given(st.sampled_from(CODECS), st.binary(max_size=200), st.data())
def test_decompress_is_total(encoding: Encoding, text: bytes, data: st.DataObject) -> None:
    """A body with bytes changed decodes to no more than the limit, or is Rejected."""
    body = bytearray(COMPRESS[encoding](text) + data.draw(st.binary(max_size=20)))
    for position in data.draw(st.lists(st.integers(0, len(body) - 1), max_size=4)):
        body[position] = data.draw(st.integers(0, 255))
    with suppress(Rejected):
        assert len(decompress(bytes(body), encoding, bytes_max=100)) <= 100
