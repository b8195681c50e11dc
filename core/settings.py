"""Every setting, in one table: name, default, how it is read, what it means and in which unit.

A setting `body_bytes_max` is the environment variable CONTOX_BODY_BYTES_MAX. The environment is an
argument: nothing is read at import. The table is printed by `contox-ingest settings` and checked
against docs/OPERATIONS.md by a test. The settings themselves are declared by what they are for, in
core/ingest_settings.py and core/account_settings.py.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from core.account_settings import AccountSettings
from core.body import Limits
from core.ingest_settings import IngestSettings

PREFIX = "CONTOX_"
PASSWORD_OF_USER = re.compile(r"(://[^:/?#@]*:).*@")  # to the last @: it may hold any, unescaped
PASSWORD_IN_QUERY = re.compile(r"([?&]password=)[^&]*")


class SettingError(Exception):
    """A setting that stops the start; the text is one sentence that names it."""


@dataclass(frozen=True, kw_only=True)
class Settings(AccountSettings, IngestSettings):
    """The settings of one process. Immutable; `read` makes one from an environment."""

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
    """The settings as they may be logged: secrets are shown as *** if they are set, URLs without
    their passwords."""
    shown = {}
    for name, _, meta in table():
        value = getattr(settings, name)
        if meta["secret"]:
            value = mask_url(value) if name.endswith("_url") else "***" if value else None
        shown[name] = sorted(value) if isinstance(value, frozenset) else value
    return shown


def mask_url(url: str) -> str:
    """A URL without the password in it, be it before the host or in the query."""
    return PASSWORD_IN_QUERY.sub(r"\1***", PASSWORD_OF_USER.sub(r"\1***@", url))
