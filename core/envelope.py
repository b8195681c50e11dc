"""The signed envelope: one event that a client sends with an API key, and signs within the body.

    {"source", "timestamp": RFC 3339, "nonce", "signature": 64 hex digits, "projectId",
     "event": {"type": "mcp_save", …}, …}

    signed := the bytes of the value of `event`, as they stand in the body
            | source "\\n" timestamp "\\n" projectId "\\n" and those bytes

That value is cut out of the body, never decoded and written anew: what verifies is what is stored.
Of a member that comes twice the last one counts, for the signature and for the store alike, since
the body is decoded once. No source, timestamp or project may hold a newline, so that a signed text
can be read in one way only.
"""

import hashlib
import hmac
import re
from binascii import hexlify
from collections.abc import Sequence

import msgspec

from core.body import WHITESPACE, Form, Limits, check_text, is_ndjson
from core.codec import PROJECT, Entry, event_text
from core.compression import Encoding, decompress
from core.errors import AuthFailure, Reason, Rejected, unauthorized
from core.event import OPEN_BRACE, occurred_ms
from core.halves import decode_kept
from core.ids import event_id
from core.kernels import Key
from core.words import NAME

SOURCE = re.compile(r"[A-Za-z0-9_.:/@ -]{1,64}").fullmatch
NONCE_MAX = 256  # characters


class Envelope(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """An envelope as it was sent; what is missing is None, or empty."""

    event: msgspec.Raw = msgspec.Raw()
    source: str | None = None
    timestamp: str | None = None
    nonce: str | None = None
    signature: str | None = None
    project_id: str | None = None


class Signed(msgspec.Struct, frozen=True, gc=False):
    """What an envelope claims: who has signed what, and when."""

    project: str
    timestamp_ms: int
    timestamp: bytes
    nonce: bytes
    signature: bytes
    texts: tuple[bytes, bytes]  # either of which may have been signed


class _Typed(msgspec.Struct):
    type: str


_decode = msgspec.json.Decoder(Envelope).decode
_decode_typed = msgspec.json.Decoder(_Typed).decode


def read_envelope(
    wire: bytes, *, content_type: bytes | None, encoding: Encoding, limits: Limits
) -> Envelope:
    """The envelope that a request's body is, its types checked and nothing else.

    Raises Rejected: unsupported_media_type, too_large, invalid_json, invalid_event; unauthorized
    for a batch, which holds no signature.
    """
    if is_ndjson(content_type):
        raise unauthorized(AuthFailure.MISSING_HEADER)
    text = decompress(wire, encoding, bytes_max=limits.decoded_bytes_max)
    check_text(text)
    if text.lstrip(WHITESPACE)[:1] == b"[":
        raise unauthorized(AuthFailure.MISSING_HEADER)
    try:
        return decode_kept(_decode, text)
    except msgspec.ValidationError as error:
        raise _invalid(f"The envelope is not valid: {error}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise Rejected(Reason.INVALID_JSON, f"Not valid JSON: {error}") from None


def claim(envelope: Envelope, *, now_ms: int, window_s: int) -> Signed:
    """What is to be verified. Raises Rejected (unauthorized) if it cannot be, or is out of time."""
    project, timestamp, nonce = envelope.project_id, envelope.timestamp, envelope.nonce
    if not (project and timestamp and nonce and envelope.signature):
        raise unauthorized(AuthFailure.MISSING_HEADER)
    if not PROJECT(project):
        raise unauthorized(AuthFailure.UNKNOWN_PROJECT)
    try:
        timestamp_ms = occurred_ms(timestamp)
    except ValueError:  # hostile input is an answer, not a crash
        raise unauthorized(AuthFailure.BAD_TIMESTAMP) from None
    assert timestamp_ms is not None
    if abs(now_ms - timestamp_ms) > window_s * 1000:
        raise unauthorized(AuthFailure.OUTSIDE_WINDOW)
    raw = bytes(envelope.event)
    head = f"{envelope.source or ''}\n{timestamp}\n{project}\n".encode()
    return Signed(
        project,
        timestamp_ms,
        timestamp.encode(),
        nonce.encode(),
        envelope.signature.encode(),
        (raw, head + raw),
    )


def verify_envelope(keys: Sequence[Key], signed: Signed) -> bytes:
    """The MAC (32 bytes) that the signature proves, by any of `keys` over either text.

    keys: the project's live secrets, never empty. All are compared, in constant time and without
    an early exit. Raises Rejected (unauthorized).
    """
    proven = None
    for key in keys:
        for text in signed.texts:
            mac = key.mac_over(text)
            if hmac.compare_digest(signed.signature, hexlify(mac)):
                proven = mac
    if proven is None:
        raise unauthorized(AuthFailure.BAD_SIGNATURE)
    return proven


def is_signed_by(key: Key, signed: Signed, mac: bytes) -> bool:
    """Whether a MAC that `verify_envelope` has proven is made by this key."""
    return any(hmac.compare_digest(mac, key.mac_over(text)) for text in signed.texts)


def type_of(envelope: Envelope, limits: Limits) -> str:
    """The event's type, of an envelope that may be stored.

    Raises Rejected (invalid_event, too_large), with a sentence for the sender.
    """
    raw = envelope.event
    if not envelope.source or not SOURCE(envelope.source):
        raise _invalid("`source` must be 1 to 64 characters of A-Z a-z 0-9 _ . : / @ - and space")
    if len(envelope.nonce or "") > NONCE_MAX:
        raise _invalid(f"`nonce` must be at most {NONCE_MAX} characters")
    if len(raw) > limits.event_bytes_max:
        raise Rejected(Reason.TOO_LARGE, f"One event is over {limits.event_bytes_max:,} bytes")
    if not len(raw) or memoryview(raw)[0] != OPEN_BRACE:
        raise _invalid("`event` must be an object")
    try:
        name = decode_kept(_decode_typed, bytes(raw)).type
    except msgspec.DecodeError:
        name = ""
    if not NAME(name):
        raise _invalid("`event.type` must be 1 to 128 characters of A-Z a-z 0-9 _ . : -")
    if limits.event_types and name not in limits.event_types:
        raise _invalid(f"`event.type` must be one of {', '.join(sorted(limits.event_types))}")
    return name


def entry_of(
    envelope: Envelope, signed: Signed, *, name: str, mac: bytes, session: str, now_ms: int
) -> tuple[Entry, str]:
    """(the stream entry, the event's id) of an envelope that has passed every check.

    The id is derived from project, timestamp, nonce and MAC: the same text saved twice is two
    events, an envelope sent twice is one.
    """
    seed = hashlib.sha256(mac + signed.timestamp + b"\n" + signed.nonce).digest()
    timestamp_s = signed.timestamp_ms // 1000
    identity = event_id(signed.project, timestamp_s=timestamp_s, mac=seed)
    body = event_text(
        identity,
        name,
        bytes(envelope.event).decode(),
        timestamp=envelope.timestamp,
        source=envelope.source,
    )
    return (
        Entry(
            project=signed.project,
            session=session,
            received_ms=now_ms,
            form=Form.ENVELOPE,
            encoding=Encoding.IDENTITY,
            count=1,
            timestamp_s=timestamp_s,
            mac=seed,
            body=body,
        ),
        identity,
    )


def _invalid(sentence: str) -> Rejected:
    return Rejected(Reason.INVALID_EVENT, sentence)
