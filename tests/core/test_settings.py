"""The table's own rules, every parser's refusals by the sentence, and secrets kept out of sight."""

import base64

import pytest

from core.body import Limits
from core.settings import SettingError, Settings, mask_url, masked, read, table, unknown

KEY = base64.b64encode(bytes(range(32))).decode()
DEFAULTS = {
    "redis_url": "redis://127.0.0.1:6379/0",
    "database_url": "sqlite:///contox-ingest.db",
    "master_key": None,
    "host": "127.0.0.1",
    "port": 8080,
    "ack": "fsynced",
    "window_s": 300,
    "body_bytes_max": 1_048_576,
    "secret_grace_s": 86_400,
}


def test_defaults() -> None:
    """An empty environment gives the documented defaults."""
    settings = read({})
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS
    assert settings == Settings()


def test_unix_socket() -> None:
    """A Unix socket is listened on instead of TCP, unless a host or a port is given, too."""
    unix = {"CONTOX_UDS": "/run/g.sock"}
    for tcp, port in (
        ({}, None),
        ({"CONTOX_HOST": " ", "CONTOX_PORT": ""}, None),
        ({"CONTOX_HOST": "0.0.0.0"}, 8080),
        ({"CONTOX_PORT": "9000"}, 9000),
    ):
        settings = read({**unix, **tcp})
        assert (settings.uds, settings.port) == ("/run/g.sock", port)


def test_default_limits_are_the_protocols() -> None:
    """By default 8 MiB decoded, 256 KiB per event and 5,000 events of any type; for a body too."""
    assert read({}).limits() == Limits() == (8_388_608, 262_144, 5_000, frozenset())


def test_limits_come_from_the_settings() -> None:
    """Each of a body's limits is one of the settings."""
    environ = {
        "CONTOX_DECODED_BYTES_MAX": "4000",
        "CONTOX_EVENT_BYTES_MAX": "3000",
        "CONTOX_BATCH_EVENTS_MAX": "20",
        "CONTOX_EVENT_TYPES": " saved, ,scan_result,",
    }
    assert read(environ).limits() == Limits(4000, 3000, 20, frozenset({"saved", "scan_result"}))


@pytest.mark.parametrize("name", [name for name, _, _ in table()])
def test_every_setting_is_read_from_its_variable(name: str) -> None:
    """Each default, written out in its variable, gives what silence gives; so do blanks."""
    ((default, meta),) = [(default, meta) for n, default, meta in table() if n == name]
    for text in (default, f" {default}\n", "", "  "):
        assert read({f"CONTOX_{name.upper()}": text}) == read({})
    assert meta["help"].endswith(".")


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("CONTOX_PORT", "0", 0),
        ("CONTOX_PORT", "65535", 65_535),
        ("CONTOX_ACK", "memory", "memory"),
        ("CONTOX_LOG_LEVEL", "debug", "debug"),
        ("CONTOX_REDIS_URL", "rediss://:pw@h:6379/1", "rediss://:pw@h:6379/1"),
        ("CONTOX_REDIS_URL", "unix:///run/valkey.sock", "unix:///run/valkey.sock"),
        ("CONTOX_DATABASE_URL", "postgresql://u:p@h/db", "postgresql://u:p@h/db"),
        ("CONTOX_MASTER_KEY", KEY, bytes(range(32))),
        ("CONTOX_HOST", "::", "::"),
    ],
)
def test_value_is_read(variable: str, text: str, value: object) -> None:
    """A value within its bounds is taken."""
    assert getattr(read({variable: text}), variable.removeprefix("CONTOX_").lower()) == value


PORT = "CONTOX_PORT must be a whole number from 0 to 65,535."
URL_PORT = "CONTOX_DATABASE_URL must have a number as its port."
MASTER_KEY = "CONTOX_MASTER_KEY must be 32 bytes in base64: openssl rand -base64 32."


@pytest.mark.parametrize(
    ("variable", "text", "sentence"),
    [
        ("CONTOX_PORT", "65536", PORT),
        ("CONTOX_PORT", "-1", PORT),
        ("CONTOX_PORT", "80.0", PORT),
        ("CONTOX_PORT", "8_080", PORT),
        ("CONTOX_PORT", "eighty", PORT),
        ("CONTOX_PORT", "1" * 5000, PORT),
        ("CONTOX_PORT", "\uff11\uff12", PORT),
        ("CONTOX_PORT", "\u00b2", PORT),
        ("CONTOX_WINDOW_S", "0", "CONTOX_WINDOW_S must be a whole number from 1 to 86,400."),
        (
            "CONTOX_ACK",
            "FSYNCED",
            "CONTOX_ACK must be memory, fsynced or replicated:N, N from 1 to 99.",
        ),
        (
            "CONTOX_LOG_LEVEL",
            "loud",
            "CONTOX_LOG_LEVEL must be one of debug, info, warning, error.",
        ),
        (
            "CONTOX_REDIS_URL",
            "localhost:6379",
            "CONTOX_REDIS_URL must begin with redis:// or rediss:// or unix://.",
        ),
        (
            "CONTOX_DATABASE_URL",
            "mysql://u:hunter2@h/db",
            "CONTOX_DATABASE_URL must begin with sqlite:/// or postgresql://.",
        ),
        ("CONTOX_REDIS_URL", "redis://h:many", "CONTOX_REDIS_URL must have a number as its port."),
        ("CONTOX_DATABASE_URL", "postgresql://h:x/db", URL_PORT),
        ("CONTOX_REDIS_URL", "redis://h:99999/0", URL_PORT.replace("DATABASE", "REDIS")),
        ("CONTOX_MASTER_KEY", KEY[:-4], MASTER_KEY),
        ("CONTOX_MASTER_KEY", base64.b64encode(bytes(33)).decode(), MASTER_KEY),
        ("CONTOX_MASTER_KEY", KEY[:-1], MASTER_KEY),
        ("CONTOX_MASTER_KEY", KEY[:4] + "!" + KEY[4:], MASTER_KEY),
        ("CONTOX_MASTER_KEY", "hunter2!" * 8, MASTER_KEY),
        ("CONTOX_MASTER_KEY", "\u00e9" * 44, MASTER_KEY),
        (
            "CONTOX_EVENT_BYTES_MAX",
            "8388609",
            "CONTOX_EVENT_BYTES_MAX must not exceed CONTOX_DECODED_BYTES_MAX.",
        ),
        (
            "CONTOX_INFLIGHT_BYTES_MAX",
            "8388607",
            "CONTOX_INFLIGHT_BYTES_MAX must be CONTOX_DECODED_BYTES_MAX or more.",
        ),
        (
            "CONTOX_BODY_BYTES_MAX",
            "67108865",
            "CONTOX_BODY_BYTES_MAX must be a whole number from 1 to 67,108,864.",
        ),
    ],
)
def test_wrong_value_is_one_sentence(variable: str, text: str, sentence: str) -> None:
    """A value that is refused stops the start with one sentence, which names the variable."""
    with pytest.raises(SettingError) as caught:
        read({variable: text})
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("CONTOX_REDIS_URL", "redis://[::1"),
    ],
)
def test_odd_value_is_a_sentence_too(variable: str, text: str) -> None:
    """Values that trip the standard library's own readers also name the variable."""
    with pytest.raises(SettingError, match=rf"^{variable} [^\n]+\.$"):
        read({variable: text})


def test_body_larger_than_all_bodies() -> None:
    """One body may not be larger than all of them together."""
    environ = {
        "CONTOX_INFLIGHT_BYTES_MAX": "8388608",
        "CONTOX_BODY_BYTES_MAX": "8388609",
    }
    with pytest.raises(SettingError) as caught:
        read(environ)
    assert str(caught.value) == "CONTOX_INFLIGHT_BYTES_MAX must be CONTOX_BODY_BYTES_MAX or more."


@pytest.mark.parametrize(
    "environ",
    [
        {"CONTOX_EVENT_BYTES_MAX": "8388608"},
        {"CONTOX_INFLIGHT_BYTES_MAX": "8388608"},
        {"CONTOX_DECODED_BYTES_MAX": "262144"},
    ],
    ids=lambda environ: next(iter(environ)),
)
def test_related_limits_may_be_equal(environ: dict[str, str]) -> None:
    """An event as large as a body, and as much in flight as one body, are taken."""
    read(environ)


def test_entries_are_not_claimed_from_a_batch_in_the_making() -> None:
    """Claiming must take longer than the filling of a batch, by a millisecond at least."""
    with pytest.raises(SettingError, match=r"^CONTOX_CLAIM_IDLE_S must be more than CONTOX_DRAIN"):
        read({"CONTOX_CLAIM_IDLE_S": "5", "CONTOX_DRAIN_AGE_MS_MAX": "5000"})
    read({"CONTOX_CLAIM_IDLE_S": "5", "CONTOX_DRAIN_AGE_MS_MAX": "4999"})


def test_secrets_are_masked() -> None:
    """What may be logged holds neither passwords nor the key, and shows everything else."""
    shown = masked(
        read(
            {
                "CONTOX_REDIS_URL": "redis://:hunter2@h:6379/0",
                "CONTOX_DATABASE_URL": "postgresql://u:hunter2@h/db",
                "CONTOX_MASTER_KEY": KEY,
                "CONTOX_OPERATOR_TOKEN": "hunter2" * 6,
                "CONTOX_EVENT_TYPES": "b,a",
            }
        )
    )
    assert shown["redis_url"] == "redis://:***@h:6379/0"
    assert shown["database_url"] == "postgresql://u:***@h/db"
    assert shown["master_key"] == shown["operator_token"] == "***"
    assert shown["event_types"] == ["a", "b"]
    assert shown["port"] == 8080
    assert list(shown) == [name for name, _, _ in table()]
    assert "hunter2" not in str(shown)
    assert masked(read({}))["master_key"] is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///events.db", "sqlite:///events.db"),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://user@h", "redis://user@h"),
        ("redis://user:pw@h", "redis://user:***@h"),
        ("redis://user:p@w:x@h/pw", "redis://user:***@h/pw"),
        ("redis://redis:redis@redis", "redis://redis:***@redis"),
        ("redis://h/0?db=1&password=pw&x=y", "redis://h/0?db=1&password=***&x=y"),
        ("redis://:12/p?#@h:1/0", "redis://:***@h:1/0"),
        ("unix://:pw@/run/valkey.sock", "unix://:***@/run/valkey.sock"),
        ("unix:///run/v.sock?db=1&password=pw&x=y", "unix:///run/v.sock?db=1&password=***&x=y"),
        ("postgresql://u@h/d?password=pw", "postgresql://u@h/d?password=***"),
    ],
)
def test_password_of_a_url_is_masked(url: str, shown: str) -> None:
    """A URL's password becomes ***, whatever is in it; the rest stays as it is."""
    assert mask_url(url) == shown


def test_unknown_variables_are_named() -> None:
    """A CONTOX_ variable that nothing reads is named, with the setting that it may have meant."""
    environ = {
        "CONTOX_PROT": "1",
        "CONTOX_PORT": "1",
        "CONTOX_ZZZZZZ": "1",
        "CONTOX_DATA_DIR": "x",
        "PATH": "x",
    }
    assert list(unknown(environ, frozenset({"CONTOX_DATA_DIR"}))) == [
        "CONTOX_PROT is not a setting; did you mean CONTOX_PORT?",
        "CONTOX_ZZZZZZ is not a setting.",
    ]
