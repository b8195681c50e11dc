"""Properties against Python's own JSON, which keeps halves; tables of what is none."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.halves import decode_again, decode_kept, hide

TEXTS = st.text(st.sampled_from('\ud83d\uda00\ude00\udfff😀\\"ud8é'), max_size=12)
decode_raw = msgspec.json.Decoder(msgspec.Raw).decode


class Kept(msgspec.Struct, frozen=True):
    """Something with a raw part."""

    raw: msgspec.Raw
    text: str = ""


def has_halves(value: Any) -> bool:
    """Whether text within a decoded value has half of a pair."""
    return any(
        "\ud800" <= character <= "\udfff" for character in json.dumps(value, ensure_ascii=False)
    )


@given(st.lists(TEXTS))
def test_hidden_exactly_where_halves_are(texts: list[str]) -> None:
    """Only halves are hidden, pairs and escaped backslashes are not; nothing moves."""
    text = json.dumps(texts).encode()
    hidden = hide(text)
    assert (hidden is None) == (not has_halves(json.loads(text)))
    if hidden is not None:
        assert len(hidden) == len(text)
        assert hidden.replace(b"\xff", b"\\") == text
        msgspec.json.decode(hidden.replace(b"\xff", b"_"))  # is JSON: all halves are hidden


@given(TEXTS)
def test_kept_as_it_was(text: str) -> None:
    """Raw parts come back byte for byte, alone, in lists and in structs."""
    raw = json.dumps({text: text}).encode()
    assert bytes(decode_kept(decode_raw, raw)) == raw
    listed = decode_kept(msgspec.json.Decoder(list[msgspec.Raw]).decode, b"[%b, 1]" % raw)
    assert [*map(bytes, listed)] == [raw, b"1"]
    body = b'[{"raw":%b,"text":"a"},null]' % raw
    kept, nothing = decode_kept(msgspec.json.Decoder(list[Kept | None]).decode, body)
    assert kept
    assert (bytes(kept.raw), kept.text, nothing) == (raw, "a", None)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"ud83d",
        rb'"\\ud83d"',
        rb'"\ud83d\ude00"',
        rb'"\uD83D\uDE00\uD83D\uDE00"',
        rb'"\ud83"',
        rb'"\ud7ff\ue000"',
        b'"\\ud83d\xff"',
        b'"\\ud83d\xfe"',
    ],
)
def test_nothing_to_hide(text: bytes) -> None:
    """Pairs, other escapes and text that is not UTF-8 are left alone."""
    assert hide(text) is None


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (rb'"\ud83d"', b'"\xffud83d"'),
        (rb'"\uDE00\uD83D"', b'"\xffuDE00\xffuD83D"'),
        (rb'"\ud83d\ud83d\ude00\ude00"', b'"\xffud83d\\ud83d\\ude00\xffude00"'),
        (rb'"\ud83d\\ude00"', b'"\xffud83d\\\\ude00"'),
        (rb'"\\\ud83d"', b'"\\\\\xffud83d"'),
        (rb'"\ud83d\n\ude00"', b'"\xffud83d\\n\xffude00"'),
    ],
)
def test_hidden(text: bytes, hidden: bytes) -> None:
    """The backslash of each half is hidden, and no other."""
    assert hide(text) == hidden


@pytest.mark.parametrize("text", [rb'{"raw":"\ud83d"', rb'{"raw":"\ud83d\x"}', b'{"raw":nope}'])
def test_other_errors_stay(text: bytes) -> None:
    """What is wrong besides halves is refused as it would be without them."""
    with pytest.raises(msgspec.DecodeError):
        decode_kept(msgspec.json.Decoder(Kept).decode, text)


@pytest.mark.parametrize("text", [rb'{"raw":1,"text":"\ud83d"}', rb'{"raw":"\ud83d","text":1}'])
def test_halves_in_what_is_decoded(text: bytes) -> None:
    """A half in text that is decoded is a ValidationError, as is a wrong type beside a raw half."""
    with pytest.raises(msgspec.ValidationError):
        decode_kept(msgspec.json.Decoder(Kept).decode, text)


def test_not_tried_again() -> None:
    """Where a value was wrong, halves are not looked for."""
    error = msgspec.ValidationError("wrong")
    with pytest.raises(msgspec.ValidationError, match=r"^wrong$"):
        decode_again(decode_raw, rb'"\ud83d"', error)
