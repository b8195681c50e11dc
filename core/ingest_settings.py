"""The settings of the path of an event, of the queue, the store and the processes."""

from dataclasses import dataclass

from core import parse_as
from core.setting import setting

LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, kw_only=True)
class IngestSettings:
    """Those of the path of an event."""

    redis_url: str = setting(
        "redis://127.0.0.1:6379/0",
        parse_as.url("redis://", "rediss://", "unix://"),
        "Redis >= 7 or Valkey >= 8 that holds the streams and the caches.",
        secret=True,
    )
    database_url: str = setting(
        "sqlite:///contox-ingest.db",
        parse_as.url("sqlite:///", "postgresql://"),
        "Where events and projects are stored: sqlite:///FILE or postgresql://….",
        secret=True,
    )
    master_key: bytes | None = setting(
        "",
        parse_as.master_key,
        "32 bytes in base64 that seal the projects' secrets; gateway and project commands need it.",
        secret=True,
    )
    host: str = setting("127.0.0.1", str, "Address that the gateway and the worker listen on.")
    port: int | None = setting(
        "8080", parse_as.whole(0, 65535), "TCP port of the gateway; 0 takes a free one."
    )  # None: it listens on CONTOX_UDS alone
    uds: str = setting("", str, "Unix socket of the gateway; instead of TCP if given alone.")
    uds_mode: str = setting("0660", parse_as.mode, "Permissions of the Unix socket, in octal.")
    processes: int = setting(
        "0",
        parse_as.whole(0, 1024),
        "Processes of a gateway; 0: one per core, but one on loopback or a Unix socket alone.",
    )
    worker_port: int = setting(
        "8081",
        parse_as.whole(0, 65535),
        "TCP port of the worker's status pages; 0 takes a free one.",
    )
    lane: int = setting("1", parse_as.whole(0, 1), "1: a lean transport takes plain requests.")
    ack: str = setting(
        "fsynced",
        parse_as.ack,
        "What a 202 promises: memory, fsynced, or replicated:N (N replicas of the queue have it).",
    )
    partitions: int = setting(
        "1",
        parse_as.whole(1, 1024),
        "Streams that the events spread over; the same for every process.",
    )
    window_s: int = setting(
        "300",
        parse_as.whole(1, 86_400),
        "Seconds that a timestamp may differ from the gateway's clock.",
    )
    body_bytes_max: int = setting(
        str(1 << 20), parse_as.whole(1, 64 << 20), "Largest body on the wire, in bytes."
    )
    decoded_bytes_max: int = setting(
        str(8 << 20), parse_as.whole(1, 128 << 20), "Largest body after decompression, in bytes."
    )
    event_bytes_max: int = setting(
        str(256 << 10), parse_as.whole(1, 128 << 20), "Largest single event, in bytes of JSON."
    )
    batch_events_max: int = setting(
        "5000", parse_as.whole(1, 100_000), "Most events in one request."
    )
    event_types: frozenset[str] = setting(
        "", parse_as.names, "Event types that are taken, separated by commas; empty takes any."
    )
    body_timeout_s: int = setting(
        "15",
        parse_as.whole(1, 3600),
        "Seconds that a body may take to arrive before the answer is 408.",
    )
    header_timeout_s: int = setting(
        "10", parse_as.whole(1, 3600), "Seconds that a request's headers may take to arrive."
    )
    connections_max: int = setting(
        "10000",
        parse_as.whole(1, 10**6),
        "Connections that a gateway keeps open; more are closed at once.",
    )
    inflight_bytes_max: int = setting(
        str(64 << 20),
        parse_as.whole(1, 16 << 30),
        "Body bytes being received, and as many awaiting the queue's answer, per gateway.",
    )
    append_timeout_s: int = setting(
        "5", parse_as.whole(1, 9), "Seconds that the queue may take to answer an append."
    )
    backlog_entries_max: int = setting(
        "1000000",
        parse_as.whole(1, 10**12),
        "Entries a partition may hold before the answer is 503.",
    )
    backlog_lag_max: int = setting(
        "1000000",
        parse_as.whole(0, 10**12),
        "Entries of a partition that no worker has read yet, before the answer is 503.",
    )
    backlog_memory_percent: int = setting(
        "80",
        parse_as.whole(1, 100),
        "Share of the queue's maxmemory, if it has one, that may be used before the answer is 503.",
    )
    quota_events_s: int = setting(
        "0",
        parse_as.whole(0, 10**9),
        "Events per second that a project may send; 0 is without a bound.",
    )
    quota_bytes_s: int = setting(
        "0",
        parse_as.whole(0, 10**12),
        "Body bytes per second that a project may send; 0 is without a bound.",
    )
    spool_dir: str = setting(
        "",
        str,
        "Directory for what is accepted while the queue is away; empty: nothing is, the answer is"
        " 503.",
    )
    spool_bytes_max: int = setting(
        str(1 << 30), parse_as.whole(1 << 20, 1 << 44), "Bytes that the spool may hold."
    )
    keyring_ttl_s: int = setting(
        "30",
        parse_as.whole(1, 3600),
        "Seconds a project's keys are cached; changes are pushed at once.",
    )
    keyring_entries_max: int = setting(
        "100000", parse_as.whole(1, 10**7), "Projects whose keys a gateway keeps in memory."
    )
    secret_grace_s: int = setting(
        "86400",
        parse_as.whole(0, 365 * 86_400),
        "Seconds that the old secret still verifies on rotation.",
    )
    worker_name: str = setting(
        "",
        str,
        "Name of this worker in the group, each needs its own; empty takes the host's name.",
    )
    drain_events_max: int = setting(
        "20000", parse_as.whole(1, 100_000), "Events after which the worker writes a batch."
    )
    drain_bytes_max: int = setting(
        str(16 << 20),
        parse_as.whole(1, 1 << 30),
        "Body bytes after which the worker writes a batch.",
    )
    drain_age_ms_max: int = setting(
        "50",
        parse_as.whole(0, 5_000),
        "Milliseconds that a batch waits for more before it is written.",
    )
    claim_idle_s: int = setting(
        "60",
        parse_as.whole(1, 86_400),
        "Seconds after which another worker's entries are taken over.",
    )
    deliveries_max: int = setting(
        "10",
        parse_as.whole(1, 1000),
        "Deliveries after which an entry that ends the worker each time becomes a dead letter.",
    )
    dead_letters_max: int = setting(
        "100000",
        parse_as.whole(1, 10**9),
        "Dead letters that a partition may hold before its drain stops.",
    )
    breaker_percent: int = setting(
        "50",
        parse_as.whole(0, 100),
        "Share of recent events going to the dead letters over which the drain stops; 0: never.",
    )
    breaker_retry_s: int = setting(
        "30", parse_as.whole(1, 3600), "Seconds until a stopped drain tries again."
    )
    ledger_alarm_s: int = setting(
        "60",
        parse_as.whole(1, 86_400),
        "Seconds that the ledger may be out of balance before it is an alarm.",
    )
    stop_grace_s: int = setting(
        "0",
        parse_as.whole(0, 600),
        "Seconds between SIGTERM (readiness red) and the end of accepting.",
    )
    operator_token: str = setting(
        "",
        parse_as.token,
        "Bearer token that opens the API as an admin who is no user; empty: there is none.",
        secret=True,
    )
    log_level: str = setting(
        "info", parse_as.one_of(*LOG_LEVELS), "Least severe level that is logged."
    )
