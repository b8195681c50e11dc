"""Half of a surrogate pair, escaped, such as `"\\ud83d"`: what JSON.stringify writes of an emoji
that was cut in two. JSON's grammar has it, so a payload may hold it; but decoders refuse it.

Requirements: a payload's bytes stay as they were signed; text without halves costs nothing more.
Solution: where a decoder has refused a text, the backslash of each half is hidden as a byte that
    UTF-8 never has. A decoder skips what it keeps raw, that byte included, but refuses it in what
    it decodes. Nothing moves, so that the raw parts can be revealed one by one.
Cost: such a text is decoded twice, and searched once.
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

HIDDEN, BACKSLASHES = b"\xff", b"\xfe\xfe"  # bytes that UTF-8 never has
HIGH, LOW = rb"u[dD][89abAB][0-9a-fA-F]{2}", rb"u[dD][c-fC-F][0-9a-fA-F]{2}"
HALF = re.compile(rb"\\(?=%b(?!\\%b))|(?<!\\%b)\\(?=%b)" % (HIGH, LOW, HIGH, LOW))
Decoded = TypeVar("Decoded")


def decode_kept(decode: Callable[[bytes], Decoded], text: bytes) -> Decoded:
    """`decode(text)`, where halves may stand in what it keeps as msgspec.Raw.

    Raises as `decode` does; ValidationError for a half in what it decodes.
    """
    try:
        return decode(text)
    except msgspec.DecodeError as error:
        return decode_again(decode, text, error)


def decode_again(
    decode: Callable[[bytes], Decoded], text: bytes, error: msgspec.DecodeError
) -> Decoded:
    """As `decode_kept`, of a text that `decode` has refused with `error`."""
    hidden = None if isinstance(error, msgspec.ValidationError) else hide(text)
    if hidden is None:
        raise error
    try:
        decoded: Decoded = _reveal(decode(hidden))
    except UnicodeDecodeError:
        told = "half of a surrogate pair may stand only where text is kept as it is"
        raise msgspec.ValidationError(told) from None
    return decoded


def hide(text: bytes) -> bytes | None:
    """JSON with its halves hidden, as long as it was; None if there are none, or no UTF-8."""
    if b"\\u" not in text or HIDDEN in text or BACKSLASHES[:1] in text:
        return None
    pairwise = text.replace(rb"\\", BACKSLASHES)  # each backslash left begins an escape
    hidden = HALF.sub(HIDDEN, pairwise)
    return None if hidden == pairwise else hidden.replace(BACKSLASHES, rb"\\")


def _reveal(decoded: Any) -> Any:
    """The same with its raw parts as they were: a list, a struct with raw members, or Raw."""
    if isinstance(decoded, list):
        return [_reveal(element) for element in decoded]
    if isinstance(decoded, msgspec.Raw):
        return msgspec.Raw(bytes(decoded).replace(HIDDEN, b"\\"))
    if isinstance(decoded, msgspec.Struct):
        members = msgspec.structs.asdict(decoded).items()
        raw = {name: _reveal(part) for name, part in members if isinstance(part, msgspec.Raw)}
        return msgspec.structs.replace(decoded, **raw)
    return decoded
