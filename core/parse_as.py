"""How the text of a setting becomes its value: parsers that say in a sentence what they want.

Each raises ValueError with the rest of a sentence that begins with the variable's name.
"""

import base64
import re
from collections.abc import Callable
from ipaddress import ip_network
from urllib.parse import urlsplit

MASTER_KEY_BYTES = 32
TOKEN = re.compile(r"[!-~]{32,200}").fullmatch
MODE = re.compile(r"0?[0-7]{3}", re.ASCII).fullmatch
ORIGIN = re.compile(
    r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?"
).fullmatch
REPLICATED = re.compile(r"replicated:([1-9][0-9]?)", re.ASCII).fullmatch


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number within bounds, ASCII digits only."""

    def parse(text: str) -> int:
        digits = text.isascii() and text.isdigit() and len(text) <= 20
        if not (digits and low <= int(text) <= high):
            raise ValueError(f"must be a whole number from {low:,} to {high:,}")
        return int(text)

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """One of a few words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def mode(text: str) -> str:
    """Permissions of a file in octal, as chmod takes them."""
    if not MODE(text):
        raise ValueError("must be three octal digits, such as 0660")
    return text


def url(*beginnings: str) -> Callable[[str], str]:
    """A URL that begins with one of the schemes."""

    def parse(text: str) -> str:
        if not text.startswith(beginnings):
            raise ValueError(f"must begin with {' or '.join(beginnings)}")
        try:
            urlsplit(text).port  # noqa: B018 - raises where the port is not a number
        except ValueError:
            raise ValueError("must have a number as its port") from None
        return text

    return parse


def master_key(text: str) -> bytes | None:
    """Bytes from base64; None if empty."""
    if not text:
        return None
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != MASTER_KEY_BYTES:
        raise ValueError(f"must be {MASTER_KEY_BYTES} bytes in base64: openssl rand -base64 32")
    return key


def names(text: str) -> frozenset[str]:
    """Names separated by commas."""
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def networks(text: str) -> frozenset[str]:
    """Addresses and networks separated by commas, each as a network; and the word unix."""
    try:
        return frozenset(
            name if name == "unix" else str(ip_network(name, strict=False)) for name in names(text)
        )
    except ValueError:
        raise ValueError("must be addresses or networks, such as 10.0.0.0/8, or unix") from None


def origins(text: str) -> frozenset[str]:
    """Origins separated by commas, in lower case: a scheme, a host, and a port if it is needed."""
    found = frozenset(name.lower() for name in names(text))
    if not all(map(ORIGIN, found)):
        raise ValueError("must be origins, such as https://app.example.com, without a path")
    return found


def ack(text: str) -> str:
    """A tier: memory, fsynced, or replicated:N with N from 1 to 99."""
    if text not in ("memory", "fsynced") and not REPLICATED(text):
        raise ValueError("must be memory, fsynced or replicated:N, N from 1 to 99")
    return text


def replicas_of(ack: str) -> int:
    """How many replicas a tier asks for; 0 for those that ask for none."""
    found = REPLICATED(ack)
    return int(found[1]) if found else 0


def token(text: str) -> str:
    """A secret that cannot be guessed: empty, or 32 to 200 visible ASCII characters."""
    if text and not TOKEN(text):
        raise ValueError("must be 32 to 200 visible ASCII characters: openssl rand -hex 32")
    return text
