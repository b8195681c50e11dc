"""The stream entry: how a verified request travels from the gateway to the worker.

    XADD ingest:{n} * h <header> b <body>

    header := v | project | session | received_ms | form | encoding | count | timestamp_s | mac
    v           "1"; a reader refuses any other
    project     id of the project            session   id of the session
    received_ms Unix ms, by the gateway      form      single, array, ndjson, envelope
    encoding    identity, gzip, zstd         count     events in the body, decimal
    timestamp_s as signed, Unix seconds      mac       32 bytes as 64 hex digits: the id seed
    body        the wire's bytes as signed, or an array with `null` where an event was refused, or
                of an envelope one event with `id` and `source`, whose payload is what was signed

Fields are ASCII and hold no "|". The ids of events that have none are derived again by the worker
from timestamp_s, mac and the index; see core/ids.py. A reader that does not know a form refuses the
entry, which is then a dead letter: so workers are to be replaced before gateways.
"""

import re
from functools import lru_cache

import msgspec

from core.body import Batch, Form, read_events
from core.compression import Encoding, decompress
from core.errors import Refused, Rejected
from core.event import Event, Row, SourcedEvent, occurred_ms
from core.ids import event_id, event_ids

VERSION = "1"
HEADER, BODY = b"h", b"b"
PROJECT = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch
DIGITS_MAX = 15
HEAD_KEPT_BYTES_MAX = 512  # a longer header is not remembered
DECODED_BYTES_MAX = 256 << 20  # a reader's own bound, far over what a gateway lets in
AS_IT_CAME = f"|{Form.SINGLE}|{Encoding.IDENTITY}|1|".encode()
_encode = msgspec.json.encode
FORMS, ENCODINGS = {f.value: f for f in Form}, {e.value: e for e in Encoding}


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A stream entry, decoded."""

    project: str
    session: str
    received_ms: int
    form: Form
    encoding: Encoding
    count: int
    timestamp_s: int
    mac: bytes
    body: bytes


def encode_header(entry: Entry) -> bytes:
    """The entry's `h` field."""
    fields = (
        VERSION,
        entry.project,
        entry.session,
        str(entry.received_ms),
        entry.form,  # joined, not formatted: that would cost an enum more than all the rest
        entry.encoding,
        str(entry.count),
        str(entry.timestamp_s),
        entry.mac.hex(),
    )
    return "|".join(fields).encode()


def opening(project: str, session: str) -> bytes:
    """What the headers of a session's entries begin with."""
    return f"{VERSION}|{project}|{session}|".encode()


def middle_of_one(received_ms: int) -> bytes:
    """What follows in the headers of entries with one event as it came, received then."""
    return b"%d%b" % (received_ms, AS_IT_CAME)


def decode(fields: dict[bytes, bytes]) -> Entry:
    """The entry that a stream's fields hold. Raises Refused if they hold none of this version."""
    try:
        head, _, mac = fields[HEADER].rpartition(b"|")
        known = _head(head) if len(head) <= HEAD_KEPT_BYTES_MAX else _head.__wrapped__(head)
        return Entry(*known, bytes.fromhex(mac.decode("ascii")), fields[BODY])
    except (KeyError, ValueError) as error:
        raise Refused(f"the entry cannot be read: {error}") from None


def count_of(fields: dict[bytes, bytes]) -> int:
    """How many events an entry's header counts, read cheaply; 1 if it does not tell."""
    parts = fields.get(HEADER, b"").split(b"|", 7)
    if len(parts) < 7 or not parts[6].isdigit() or len(parts[6]) > DIGITS_MAX:
        return 1
    return int(parts[6])


@lru_cache(1024)  # entries of one project in one millisecond differ in their MAC alone
def _head(head: bytes) -> tuple[str, str, int, Form, Encoding, int, int]:
    """The header's fields up to the MAC. Raises Refused, or ValueError or KeyError."""
    version, *parts = head.decode("ascii").split("|")
    if version != VERSION:
        raise Refused(f"the entry's version is {version[:16]!r}, not {VERSION!r}")
    project, session, received_ms, form, encoding, count, timestamp_s = parts
    if not PROJECT(project):
        raise Refused("the entry's project is not one that a gateway lets in")
    return (
        project,
        session,
        _number(received_ms),
        FORMS[form],
        ENCODINGS[encoding],
        _number(count),
        _number(timestamp_s),
    )


def _number(text: str) -> int:
    """A whole number that a database's integer can hold. Raises ValueError."""
    if not text.isdigit() or len(text) > DIGITS_MAX:
        raise ValueError(f"{text[:32]!r} is not a number of at most {DIGITS_MAX} digits")
    return int(text)


def explode(entry: Entry) -> list[Row]:
    """One row per event of the entry, in the order of the batch.

    Raises Refused if the body does not hold the events that the header counts.
    """
    try:
        text = entry.body
        if entry.encoding is not Encoding.IDENTITY or len(text) > DECODED_BYTES_MAX:
            text = decompress(text, entry.encoding, bytes_max=DECODED_BYTES_MAX)
        events = read_events(entry.form, text)
        rows = _rows(entry, events)
    except (msgspec.DecodeError, RecursionError, ValueError, Rejected) as error:
        raise Refused(f"the entry's body cannot be read: {error}") from None
    if len(rows) != entry.count:
        raise Refused(f"the entry holds {len(rows)} events, its header says {entry.count}")
    return rows


def ids_of(entry: Entry, batch: Batch) -> list[str]:
    """The ids of the batch's events: their own, or derived from the signed request they came in."""
    if None not in batch.ids:
        return batch.ids  # type: ignore[return-value]
    derived = _derived(entry, len(batch.ids))
    if not batch.refused and not any(batch.ids):
        return derived
    return [
        own or identity
        for own, identity, event in zip(batch.ids, derived, batch.events, strict=True)
        if event
    ]


def event_text(
    identity: str,
    name: str,
    payload: str,
    *,
    timestamp: float | str | None = None,
    source: str | None = None,
) -> bytes:
    """The body of an entry with this one event; its form is `envelope` if there is a source.

    payload: JSON text, taken over as it is. identity, name, timestamp: as `fault` lets through.
    """
    more = "" if source is None else f',"source":{_encode(source).decode()}'
    more += "" if timestamp is None else f',"timestamp":{_encode(timestamp).decode()}'
    return f'{{"id":"{identity}","event":"{name}"{more},"payload":{payload}}}'.encode()


def _derived(entry: Entry, count: int) -> list[str]:
    """The ids of its events, by their indexes, were they to have none of their own."""
    project, timestamp_s, mac = entry.project, entry.timestamp_s, entry.mac
    if count == 1:
        return [event_id(project, timestamp_s=timestamp_s, mac=mac)]
    return event_ids(project, timestamp_s=timestamp_s, mac=mac, count=count)


def _rows(entry: Entry, events: list[Event | None]) -> list[Row]:
    """Built as tuples, field by field in Row's order: its own constructor takes twice as long."""
    project, session, received_ms = entry.project, entry.session, entry.received_ms
    source = _source(events[0]) if entry.form is Form.ENVELOPE else None
    new, rows, derived = tuple.__new__, [], None
    for index, event in enumerate(events):
        if event is None:
            continue
        identity, timestamp = event.id, event.timestamp
        if identity is None:
            derived = derived or _derived(entry, len(events))
            identity = derived[index]
        occurred = None if timestamp is None else occurred_ms(timestamp)
        payload = str(event.payload, "utf-8")
        name = event.event
        rows.append(
            new(Row, (project, identity, session, name, payload, occurred, received_ms, source))
        )
    return rows


def _source(event: Event | None) -> str | None:
    assert isinstance(event, SourcedEvent)
    return event.source
