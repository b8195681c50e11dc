"""Every setting, in one table: name, default, how it is read, what it means and in which unit.

A setting `body_bytes_max` is the environment variable CONTOX_BODY_BYTES_MAX. The environment is an
argument: nothing is read at import. The table is printed by `contox-ingest settings` and checked
against docs/OPERATIONS.md by a test.
"""

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from core.body import Limits

PREFIX = "CONTOX_"
MASTER_KEY_BYTES = 32
ACKS = ("memory", "fsynced")
PASSWORD_OF_USER = re.compile(r"(://[^:/?#@]*:).*@")  # to the last @: it may hold any, unescaped
PASSWORD_IN_QUERY = re.compile(r"([?&]password=)[^&]*")
LOG_LEVELS = ("debug", "info", "warning", "error")


class SettingError(Exception):
    """A setting that stops the start; the text is one sentence that names it."""


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        digits = text.isascii() and text.isdigit() and len(text) <= 20
        if not (digits and low <= int(text) <= high):
            raise ValueError(f"must be a whole number from {low:,} to {high:,}")
        return int(text)

    return parse


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def _url(*beginnings: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not text.startswith(beginnings):
            raise ValueError(f"must begin with {' or '.join(beginnings)}")
        try:
            urlsplit(text).port  # noqa: B018 - raises where the port is not a number
        except ValueError:
            raise ValueError("must have a number as its port") from None
        return text

    return parse


def _key(text: str) -> bytes | None:
    if not text:
        return None
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != MASTER_KEY_BYTES:
        raise ValueError(f"must be {MASTER_KEY_BYTES} bytes in base64: openssl rand -base64 32")
    return key


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def _setting(default: str, parse: Callable[[str], Any], help_: str, *, secret: bool = False) -> Any:
    meta = {"default": default, "parse": parse, "help": help_, "secret": secret}
    return field(default_factory=lambda: parse(default), metadata=meta)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one process. Immutable; `read` makes one from an environment."""

    redis_url: str = _setting(
        "redis://127.0.0.1:6379/0",
        _url("redis://", "rediss://", "unix://"),
        "Redis >= 7 or Valkey >= 8 that holds the streams and the caches.",
        secret=True,
    )
    database_url: str = _setting(
        "sqlite:///contox-ingest.db",
        _url("sqlite:///", "postgresql://"),
        "Where events and projects are stored: sqlite:///FILE or postgresql://….",
        secret=True,
    )
    master_key: bytes | None = _setting(
        "",
        _key,
        "32 bytes in base64 that seal the projects' secrets; gateway and project commands need it.",
        secret=True,
    )
    host: str = _setting("127.0.0.1", str, "Address that the gateway and the worker listen on.")
    port: int = _setting("8080", _whole(0, 65535), "TCP port of the gateway; 0 takes a free one.")
    worker_port: int = _setting(
        "8081", _whole(0, 65535), "TCP port of the worker's status pages; 0 takes a free one."
    )
    ack: str = _setting(
        "fsynced",
        _one_of(*ACKS),
        "What a 202 promises: memory (the queue has it) or fsynced (it is on the queue's disk).",
    )
    partitions: int = _setting(
        "1", _whole(1, 1024), "Streams that the events spread over; the same for every process."
    )
    window_s: int = _setting(
        "300", _whole(1, 86_400), "Seconds that a timestamp may differ from the gateway's clock."
    )
    body_bytes_max: int = _setting(
        str(1 << 20), _whole(1, 64 << 20), "Largest body on the wire, in bytes."
    )
    decoded_bytes_max: int = _setting(
        str(8 << 20), _whole(1, 128 << 20), "Largest body after decompression, in bytes."
    )
    event_bytes_max: int = _setting(
        str(256 << 10), _whole(1, 128 << 20), "Largest single event, in bytes of JSON."
    )
    batch_events_max: int = _setting("5000", _whole(1, 100_000), "Most events in one request.")
    event_types: frozenset[str] = _setting(
        "", _names, "Event types that are taken, separated by commas; empty takes any."
    )
    body_timeout_s: int = _setting(
        "15", _whole(1, 3600), "Seconds that a body may take to arrive before the answer is 408."
    )
    inflight_bytes_max: int = _setting(
        str(64 << 20), _whole(1, 16 << 30), "Body bytes awaiting the queue's answer, per gateway."
    )
    append_timeout_s: int = _setting(
        "5", _whole(1, 9), "Seconds that the queue may take to answer an append."
    )
    backlog_entries_max: int = _setting(
        "1000000", _whole(1, 10**12), "Entries a partition may hold before the answer is 503."
    )
    quota_events_s: int = _setting(
        "0", _whole(0, 10**9), "Events per second that a project may send; 0 is without a bound."
    )
    keyring_ttl_s: int = _setting(
        "30", _whole(1, 3600), "Seconds a project's keys are cached; changes are pushed at once."
    )
    keyring_entries_max: int = _setting(
        "100000", _whole(1, 10**7), "Projects whose keys a gateway keeps in memory."
    )
    secret_grace_s: int = _setting(
        "86400", _whole(0, 365 * 86_400), "Seconds that the old secret still verifies on rotation."
    )
    worker_name: str = _setting(
        "",
        str,
        "Name of this worker in the group, each needs its own; empty takes the host's name.",
    )
    drain_events_max: int = _setting(
        "5000", _whole(1, 100_000), "Events after which the worker writes a batch."
    )
    drain_bytes_max: int = _setting(
        str(16 << 20), _whole(1, 1 << 30), "Body bytes after which the worker writes a batch."
    )
    drain_age_ms_max: int = _setting(
        "50", _whole(0, 5_000), "Milliseconds that a batch waits for more before it is written."
    )
    claim_idle_s: int = _setting(
        "60", _whole(1, 86_400), "Seconds after which another worker's entries are taken over."
    )
    stop_grace_s: int = _setting(
        "0", _whole(0, 600), "Seconds between SIGTERM (readiness red) and the end of accepting."
    )
    log_level: str = _setting("info", _one_of(*LOG_LEVELS), "Least severe level that is logged.")

    def limits(self) -> Limits:
        """The limits that a body is parsed under."""
        return Limits(
            self.decoded_bytes_max, self.event_bytes_max, self.batch_events_max, self.event_types
        )


def read(environ: Mapping[str, str]) -> Settings:
    """The settings that an environment gives, defaults where it is silent or empty.

    Raises SettingError with one sentence that names the variable.
    """
    values = {}
    for name, _, meta in table():
        variable = PREFIX + name.upper()
        if text := environ.get(variable, "").strip():
            try:
                values[name] = meta["parse"](text)
            except ValueError as error:
                raise SettingError(f"{variable} {error}.") from None
    settings = Settings(**values)
    if settings.event_bytes_max > settings.decoded_bytes_max:
        raise SettingError("CONTOX_EVENT_BYTES_MAX must not exceed CONTOX_DECODED_BYTES_MAX.")
    if settings.inflight_bytes_max < settings.decoded_bytes_max:
        raise SettingError("CONTOX_INFLIGHT_BYTES_MAX must be CONTOX_DECODED_BYTES_MAX or more.")
    if settings.claim_idle_s * 1000 <= settings.drain_age_ms_max:
        raise SettingError("CONTOX_CLAIM_IDLE_S must be more than CONTOX_DRAIN_AGE_MS_MAX.")
    return settings


def table() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(name, default as text, metadata) of every setting."""
    for item in fields(Settings):
        yield item.name, item.metadata["default"], item.metadata


def unknown(environ: Mapping[str, str], known: frozenset[str]) -> Iterator[str]:
    """A sentence for each CONTOX_ variable that nothing reads: most likely a slip of the pen.

    known: further names, with prefix, that are read elsewhere.
    """
    names = {PREFIX + name.upper() for name, _, _ in table()} | known
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable not in names:
            bare = [name.removeprefix(PREFIX) for name in names]
            close = get_close_matches(variable.removeprefix(PREFIX), bare, n=1)
            hint = f"; did you mean {PREFIX}{close[0]}?" if close else "."
            yield f"{variable} is not a setting{hint}"


def masked(settings: Settings) -> dict[str, Any]:
    """The settings as they may be logged: secrets are shown as *** if they are set."""
    shown = {}
    for name, _, meta in table():
        value = getattr(settings, name)
        if meta["secret"]:
            value = mask_url(value) if isinstance(value, str) else "***" if value else None
        shown[name] = sorted(value) if isinstance(value, frozenset) else value
    return shown


def mask_url(url: str) -> str:
    """A URL without the password in it, be it before the host or in the query."""
    return PASSWORD_IN_QUERY.sub(r"\1***", PASSWORD_OF_USER.sub(r"\1***@", url))
