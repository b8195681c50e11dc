"""From the bytes of a body to its events, under limits; valid events are kept, the others listed.

The fast path decodes a whole batch in one call. Only when that fails are the events looked at one
by one, to say which are wrong. Three things the decoder does not promise are checked here: that
what it skips is UTF-8, that nesting is bounded (it would raise RecursionError), and how many
elements an array has before each has become an object.
"""

import re
from enum import StrEnum
from typing import NamedTuple

import msgspec

from core.compression import Encoding, decompress, too_large
from core.errors import Reason, Rejected
from core.event import Event, SourcedEvent, fault, own_ids
from core.halves import decode_again, decode_kept
from core.kernels import openings

DEPTH_MAX = 128  # of nested arrays and objects, the document itself included
# Possessive, and an open string runs to the end: linear in time on any bytes.
STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
STRUCTURE = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1, ord(","): 0}
NOT_STRUCTURE = bytes(set(range(256)) - set(STRUCTURE))
WHITESPACE = b" \t\r\n"
IS_NDJSON = {b"application/json": False, b"application/x-ndjson": True}  # as they are mostly sent

decode_event = msgspec.json.Decoder(Event).decode
_decode_sourced = msgspec.json.Decoder(SourcedEvent).decode
_decode_events = msgspec.json.Decoder(list[Event]).decode
_decode_entry = msgspec.json.Decoder(list[Event | None]).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Form(StrEnum):
    """How a body holds its events."""

    SINGLE = "single"
    ARRAY = "array"
    NDJSON = "ndjson"
    ENVELOPE = "envelope"


IDENTITY, SINGLE = Encoding.IDENTITY, Form.SINGLE  # an enum's members cost a lookup each


class Limits(NamedTuple):
    """What a body may cost. Sizes are of decoded bytes."""

    decoded_bytes_max: int = 8 << 20
    event_bytes_max: int = 256 << 10
    batch_events_max: int = 5_000
    event_types: frozenset[str] = frozenset()


class Refusal(msgspec.Struct, frozen=True):
    """An event of a batch that was not taken, by its index in the batch."""

    index: int
    reason: Reason
    sentence: str


class Batch(msgspec.Struct, frozen=True, gc=False):
    """The events of one body: at each index the event, or None where it was refused."""

    form: Form
    encoding: Encoding
    body: bytes  # what is to be stored: the wire's bytes if every event is valid
    events: list[Event | None]
    ids: list[str | None]  # at each index the event's own one, if it was taken and has one
    refused: list[Refusal]
    count: int  # of events taken, at least 1


def parse(wire: bytes, *, content_type: bytes | None, encoding: Encoding, limits: Limits) -> Batch:
    """The events of a request's body.

    wire: the body as signed. Raises Rejected if no event of it can be taken.
    """
    ndjson = IS_NDJSON.get(content_type or b"")
    if ndjson is None:
        ndjson = is_ndjson(content_type)
    text = wire
    if encoding is not IDENTITY or len(wire) > limits.decoded_bytes_max:
        text = decompress(wire, encoding, bytes_max=limits.decoded_bytes_max)
    if ndjson:
        return _parse_lines(wire, text, encoding, limits)
    if not _is_utf8(text):
        raise Rejected(Reason.INVALID_JSON, "The body is not UTF-8")
    if text[:1] != b"{" and text.lstrip(WHITESPACE)[:1] == b"[":
        return _parse_array(wire, text, encoding, limits)
    event = parse_one(text, limits)
    return Batch(SINGLE, encoding, wire, [event], [event.id], [], 1)


def read_events(form: Form, text: bytes) -> list[Event | None]:
    """The events of a body that `parse` has let through, None at the indexes it refused; a
    SourcedEvent of what core.envelope has written.

    Raises msgspec.DecodeError if it is not such a body.
    """
    try:
        if form is Form.SINGLE:
            return [decode_event(text)]
        if form is Form.ARRAY:
            return _decode_entry(text)
        if form is Form.ENVELOPE:
            return [_decode_sourced(text)]
        return [decode_event(line) for line in _lines(text)]
    except msgspec.DecodeError as error:
        return decode_again(lambda hidden: read_events(form, hidden), text, error)


def check_text(text: bytes) -> None:
    """Raises Rejected (invalid_json) for what is not UTF-8, or nested too deep for a decoder."""
    if not _is_utf8(text):
        raise Rejected(Reason.INVALID_JSON, "The body is not UTF-8")
    if openings(text) > DEPTH_MAX:
        _check_structure(text, elements_max=len(text))


def is_ndjson(content_type: bytes | None) -> bool:
    """Whether the Content-Type means one event per line; charset may be given, if it is UTF-8.

    Raises Rejected: unsupported_media_type.
    """
    media_type, *parameters = [part.strip() for part in (content_type or b"").lower().split(b";")]
    charsets = [part for part in parameters if part.startswith(b"charset=")]
    if any(charset not in (b"charset=utf-8", b'charset="utf-8"') for charset in charsets):
        raise Rejected(Reason.UNSUPPORTED_MEDIA_TYPE)
    if media_type == b"application/json":
        return False
    if media_type == b"application/x-ndjson":
        return True
    raise Rejected(Reason.UNSUPPORTED_MEDIA_TYPE)


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def parse_one(text: bytes, limits: Limits) -> Event:
    """One event from its own JSON text. Raises Rejected."""
    if not (text.isascii() or _is_utf8(text)):
        raise Rejected(Reason.INVALID_JSON, "The event is not UTF-8")
    if len(text) > limits.event_bytes_max:
        raise Rejected(Reason.TOO_LARGE, f"One event is over {limits.event_bytes_max:,} bytes")
    if not text:
        raise Rejected(Reason.INVALID_JSON, "The body is empty")
    if openings(text) > DEPTH_MAX:
        _check_structure(text, elements_max=len(text))
    try:
        try:
            event = decode_event(text)
        except msgspec.DecodeError as error:
            event = decode_again(decode_event, text, error)
    except msgspec.ValidationError as error:
        raise Rejected(Reason.INVALID_EVENT, f"The event is not valid: {error}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise Rejected(Reason.INVALID_JSON, f"Not valid JSON: {error}") from None
    if sentence := fault(event, limits.event_types):
        raise Rejected(Reason.INVALID_EVENT, sentence)
    return event


def _parse_array(wire: bytes, text: bytes, encoding: Encoding, limits: Limits) -> Batch:
    brackets = openings(text)
    if brackets > 2 * limits.batch_events_max + DEPTH_MAX:
        _check_structure(text, elements_max=limits.batch_events_max)
    try:
        events = _decode_events(text)
    except (msgspec.DecodeError, RecursionError):
        return _parse_elements(wire, text, encoding, limits)
    if not events:
        raise Rejected(Reason.EMPTY_BATCH)
    _check_count(len(events), limits)
    if not _surely_shallow(brackets, events):
        _check_structure(text, elements_max=limits.batch_events_max)
    ids = own_ids(events, limits.event_types) if len(text) <= limits.event_bytes_max else None
    if ids is None:
        return _parse_elements(wire, text, encoding, limits)
    return Batch(Form.ARRAY, encoding, wire, [*events], ids, [], len(events))


def _parse_elements(wire: bytes, text: bytes, encoding: Encoding, limits: Limits) -> Batch:
    """An array whose events must be looked at one by one: at least one of them may be refused."""
    _check_structure(text, elements_max=limits.batch_events_max)
    try:
        raws = [bytes(raw) for raw in decode_kept(_decode_raws, text)]
    except msgspec.DecodeError as error:
        raise Rejected(Reason.INVALID_JSON, f"Not valid JSON: {error}") from None
    return _take_valid(Form.ARRAY, wire, raws, encoding, limits)


def _parse_lines(wire: bytes, text: bytes, encoding: Encoding, limits: Limits) -> Batch:
    if text.count(b"\n") > 2 * limits.batch_events_max:  # before each becomes an object
        raise Rejected(Reason.TOO_LARGE, "The batch has more lines than twice the events allowed")
    lines = _lines(text)
    if not lines:
        raise Rejected(Reason.EMPTY_BATCH)
    _check_count(len(lines), limits)
    return _take_valid(Form.NDJSON, wire, lines, encoding, limits)


def _lines(text: bytes) -> list[bytes]:
    """The lines that hold something; blank ones count neither as events nor in indexes."""
    return [line for line in text.split(b"\n") if line.strip(WHITESPACE)]


def _take_valid(
    form: Form, wire: bytes, raws: list[bytes], encoding: Encoding, limits: Limits
) -> Batch:
    """Decode each event on its own. Raises Rejected if none is valid.

    If some are refused, the body is assembled anew, with `null` in their places: an event's index,
    and so its identity, is the one it had in what the producer signed.
    """
    events: list[Event | None] = []
    refused: list[Refusal] = []
    for index, raw in enumerate(raws):
        try:
            events.append(parse_one(raw, limits))
        except Rejected as error:
            events.append(None)
            refused.append(Refusal(index, error.reason, error.sentence))
    ids = [event.id if event else None for event in events]
    if not refused:
        return Batch(form, encoding, wire, events, ids, refused, len(events))
    if len(refused) == len(events):
        raise _none_valid(refused)
    kept = [raw if event else b"null" for raw, event in zip(raws, events, strict=True)]
    body = b"[" + b",".join(kept) + b"]"
    if len(body) > limits.decoded_bytes_max:
        raise too_large(limits.decoded_bytes_max)
    count = len(events) - len(refused)
    return Batch(Form.ARRAY, Encoding.IDENTITY, body, events, ids, refused, count)


def _none_valid(refused: list[Refusal]) -> Rejected:
    """The answer when every event of a batch is refused: their common reason, if they have one."""
    first = refused[0]
    alike = all(refusal.reason is first.reason for refusal in refused)
    return Rejected(
        first.reason if alike else Reason.INVALID_EVENT,
        f"No event of the batch is valid; the first, at index {first.index}: {first.sentence}",
    )


def _check_count(count: int, limits: Limits) -> None:
    if count > limits.batch_events_max:
        raise Rejected(Reason.TOO_LARGE, f"The batch is over {limits.batch_events_max:,} events")


def _surely_shallow(brackets: int, events: list[Event]) -> bool:
    """Whether counting alone shows that no event is nested too deep; False means: look closer.

    No chain of open brackets is longer than the array's own, an event's own, and all those within
    the payload that has most or outside of every payload.
    """
    outside = brackets - 1 - len(events)
    if outside - len(events) <= DEPTH_MAX - 3:  # each event has at least the payload's own bracket
        return True
    most = 0
    for event in events:
        payload = bytes(event.payload)
        inside = payload.count(b"{") + payload.count(b"[")
        outside -= inside
        most = max(most, inside)
    return max(most, outside) <= DEPTH_MAX - 2


def _check_structure(text: bytes, *, elements_max: int) -> None:
    """Walk the brackets and commas outside of strings; stops at the first that is one too many.

    elements_max: how many elements the outermost array may have.
    Raises Rejected. Says nothing on whether the text is valid JSON otherwise.
    """
    depth, elements = 0, 1
    for character in STRINGS.sub(b"", text).translate(None, NOT_STRUCTURE):
        depth += STRUCTURE[character]
        if depth > DEPTH_MAX:
            raise Rejected(Reason.INVALID_JSON, f"The body is nested over {DEPTH_MAX} deep")
        if depth == 1 and character == ord(","):
            elements += 1
            if elements > elements_max:
                raise Rejected(Reason.TOO_LARGE, f"The batch is over {elements_max:,} events")
