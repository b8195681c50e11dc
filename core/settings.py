"""Every setting, in one table: name, default, how it is read, what it means and in which unit.

A setting `body_bytes_max` is the environment variable CONTOX_BODY_BYTES_MAX. The environment is an
argument: nothing is read at import. The table is printed by `contox-ingest settings` and checked
against docs/OPERATIONS.md by a test.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from core import parse_as
from core.body import Limits

PREFIX = "CONTOX_"
PASSWORD_OF_USER = re.compile(r"(://[^:/?#@]*:).*@")  # to the last @: it may hold any, unescaped
PASSWORD_IN_QUERY = re.compile(r"([?&]password=)[^&]*")
LOG_LEVELS = ("debug", "info", "warning", "error")


class SettingError(Exception):
    """A setting that stops the start; the text is one sentence that names it."""


def _setting(default: str, parse: Callable[[str], Any], help_: str, *, secret: bool = False) -> Any:
    meta = {"default": default, "parse": parse, "help": help_, "secret": secret}
    return field(default_factory=lambda: parse(default), metadata=meta)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one process. Immutable; `read` makes one from an environment."""

    redis_url: str = _setting(
        "redis://127.0.0.1:6379/0",
        parse_as.url("redis://", "rediss://", "unix://"),
        "Redis >= 7 or Valkey >= 8 that holds the streams and the caches.",
        secret=True,
    )
    database_url: str = _setting(
        "sqlite:///contox-ingest.db",
        parse_as.url("sqlite:///", "postgresql://"),
        "Where events and projects are stored: sqlite:///FILE or postgresql://….",
        secret=True,
    )
    master_key: bytes | None = _setting(
        "",
        parse_as.master_key,
        "32 bytes in base64 that seal the projects' secrets; gateway and project commands need it.",
        secret=True,
    )
    host: str = _setting("127.0.0.1", str, "Address that the gateway and the worker listen on.")
    port: int | None = _setting(
        "8080", parse_as.whole(0, 65535), "TCP port of the gateway; 0 takes a free one."
    )  # None: it listens on CONTOX_UDS alone
    uds: str = _setting("", str, "Unix socket of the gateway; instead of TCP if given alone.")
    uds_mode: str = _setting("0660", parse_as.mode, "Permissions of the Unix socket, in octal.")
    processes: int = _setting(
        "0",
        parse_as.whole(0, 1024),
        "Processes of a gateway; 0: one per core, but one on loopback or a Unix socket alone.",
    )
    worker_port: int = _setting(
        "8081",
        parse_as.whole(0, 65535),
        "TCP port of the worker's status pages; 0 takes a free one.",
    )
    lane: int = _setting("1", parse_as.whole(0, 1), "1: a lean transport takes plain requests.")
    ack: str = _setting(
        "fsynced",
        parse_as.ack,
        "What a 202 promises: memory, fsynced, or replicated:N (N replicas of the queue have it).",
    )
    partitions: int = _setting(
        "1",
        parse_as.whole(1, 1024),
        "Streams that the events spread over; the same for every process.",
    )
    window_s: int = _setting(
        "300",
        parse_as.whole(1, 86_400),
        "Seconds that a timestamp may differ from the gateway's clock.",
    )
    body_bytes_max: int = _setting(
        str(1 << 20), parse_as.whole(1, 64 << 20), "Largest body on the wire, in bytes."
    )
    decoded_bytes_max: int = _setting(
        str(8 << 20), parse_as.whole(1, 128 << 20), "Largest body after decompression, in bytes."
    )
    event_bytes_max: int = _setting(
        str(256 << 10), parse_as.whole(1, 128 << 20), "Largest single event, in bytes of JSON."
    )
    batch_events_max: int = _setting(
        "5000", parse_as.whole(1, 100_000), "Most events in one request."
    )
    event_types: frozenset[str] = _setting(
        "", parse_as.names, "Event types that are taken, separated by commas; empty takes any."
    )
    body_timeout_s: int = _setting(
        "15",
        parse_as.whole(1, 3600),
        "Seconds that a body may take to arrive before the answer is 408.",
    )
    header_timeout_s: int = _setting(
        "10", parse_as.whole(1, 3600), "Seconds that a request's headers may take to arrive."
    )
    connections_max: int = _setting(
        "10000",
        parse_as.whole(1, 10**6),
        "Connections that a gateway keeps open; more are closed at once.",
    )
    inflight_bytes_max: int = _setting(
        str(64 << 20),
        parse_as.whole(1, 16 << 30),
        "Body bytes being received, and as many awaiting the queue's answer, per gateway.",
    )
    append_timeout_s: int = _setting(
        "5", parse_as.whole(1, 9), "Seconds that the queue may take to answer an append."
    )
    backlog_entries_max: int = _setting(
        "1000000",
        parse_as.whole(1, 10**12),
        "Entries a partition may hold before the answer is 503.",
    )
    backlog_lag_max: int = _setting(
        "1000000",
        parse_as.whole(0, 10**12),
        "Entries of a partition that no worker has read yet, before the answer is 503.",
    )
    backlog_memory_percent: int = _setting(
        "80",
        parse_as.whole(1, 100),
        "Share of the queue's maxmemory, if it has one, that may be used before the answer is 503.",
    )
    quota_events_s: int = _setting(
        "0",
        parse_as.whole(0, 10**9),
        "Events per second that a project may send; 0 is without a bound.",
    )
    quota_bytes_s: int = _setting(
        "0",
        parse_as.whole(0, 10**12),
        "Body bytes per second that a project may send; 0 is without a bound.",
    )
    spool_dir: str = _setting(
        "",
        str,
        "Directory for what is accepted while the queue is away; empty: nothing is, the answer is"
        " 503.",
    )
    spool_bytes_max: int = _setting(
        str(1 << 30), parse_as.whole(1 << 20, 1 << 44), "Bytes that the spool may hold."
    )
    keyring_ttl_s: int = _setting(
        "30",
        parse_as.whole(1, 3600),
        "Seconds a project's keys are cached; changes are pushed at once.",
    )
    keyring_entries_max: int = _setting(
        "100000", parse_as.whole(1, 10**7), "Projects whose keys a gateway keeps in memory."
    )
    secret_grace_s: int = _setting(
        "86400",
        parse_as.whole(0, 365 * 86_400),
        "Seconds that the old secret still verifies on rotation.",
    )
    worker_name: str = _setting(
        "",
        str,
        "Name of this worker in the group, each needs its own; empty takes the host's name.",
    )
    drain_events_max: int = _setting(
        "20000", parse_as.whole(1, 100_000), "Events after which the worker writes a batch."
    )
    drain_bytes_max: int = _setting(
        str(16 << 20),
        parse_as.whole(1, 1 << 30),
        "Body bytes after which the worker writes a batch.",
    )
    drain_age_ms_max: int = _setting(
        "50",
        parse_as.whole(0, 5_000),
        "Milliseconds that a batch waits for more before it is written.",
    )
    claim_idle_s: int = _setting(
        "60",
        parse_as.whole(1, 86_400),
        "Seconds after which another worker's entries are taken over.",
    )
    deliveries_max: int = _setting(
        "10",
        parse_as.whole(1, 1000),
        "Deliveries after which an entry that ends the worker each time becomes a dead letter.",
    )
    dead_letters_max: int = _setting(
        "100000",
        parse_as.whole(1, 10**9),
        "Dead letters that a partition may hold before its drain stops.",
    )
    breaker_percent: int = _setting(
        "50",
        parse_as.whole(0, 100),
        "Share of recent events going to the dead letters over which the drain stops; 0: never.",
    )
    breaker_retry_s: int = _setting(
        "30", parse_as.whole(1, 3600), "Seconds until a stopped drain tries again."
    )
    ledger_alarm_s: int = _setting(
        "60",
        parse_as.whole(1, 86_400),
        "Seconds that the ledger may be out of balance before it is an alarm.",
    )
    stop_grace_s: int = _setting(
        "0",
        parse_as.whole(0, 600),
        "Seconds between SIGTERM (readiness red) and the end of accepting.",
    )
    operator_token: str = _setting(
        "",
        parse_as.token,
        "Bearer token for ledgers and dead letters over HTTP; empty: they are not served.",
        secret=True,
    )
    log_level: str = _setting(
        "info", parse_as.one_of(*LOG_LEVELS), "Least severe level that is logged."
    )

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
    if "uds" in values and not {"host", "port"} & values.keys():
        values["port"] = None
    settings = Settings(**values)
    if settings.event_bytes_max > settings.decoded_bytes_max:
        raise SettingError("CONTOX_EVENT_BYTES_MAX must not exceed CONTOX_DECODED_BYTES_MAX.")
    if settings.inflight_bytes_max < settings.decoded_bytes_max:
        raise SettingError("CONTOX_INFLIGHT_BYTES_MAX must be CONTOX_DECODED_BYTES_MAX or more.")
    if settings.inflight_bytes_max < settings.body_bytes_max:
        raise SettingError("CONTOX_INFLIGHT_BYTES_MAX must be CONTOX_BODY_BYTES_MAX or more.")
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
