"""Parsers of settings: what each takes, and the sentence for what it does not."""

import base64
from collections.abc import Callable

import pytest

from core import parse_as

KEY = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_as.whole(1, 99), "99", 99),
        (parse_as.one_of("a", "b"), "b", "b"),
        (parse_as.url("redis://"), "redis://h:1/0", "redis://h:1/0"),
        (parse_as.master_key, "", None),
        (parse_as.master_key, KEY, bytes(32)),
        (parse_as.names, " a, ,b", frozenset("ab")),
        (parse_as.networks, "10.1.2.3/8, ::1,unix", frozenset({"10.0.0.0/8", "::1/128", "unix"})),
        (parse_as.networks, "", frozenset()),
        (
            parse_as.origins,
            "https://App.example.com,http://localhost:3000, http://[::1]:80",
            frozenset({"https://app.example.com", "http://localhost:3000", "http://[::1]:80"}),
        ),
        (parse_as.mode, "0660", "0660"),
        (parse_as.mode, "600", "600"),
        (parse_as.ack, "memory", "memory"),
        (parse_as.ack, "replicated:12", "replicated:12"),
        (parse_as.token, "", ""),
        (parse_as.token, "x" * 32, "x" * 32),
    ],
)
def test_taken(parse: Callable[[str], object], text: str, value: object) -> None:
    """A text within the bounds becomes its value."""
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "texts", "sentence"),
    [
        (parse_as.whole(1, 99), ["0", "100", "1.0", "x"], "must be a whole number from 1 to 99"),
        (parse_as.one_of("a", "b"), ["c", ""], "must be one of a, b"),
        (parse_as.url("redis://"), ["http://h"], "must begin with redis://"),
        (
            parse_as.networks,
            ["10.0.0.0/33", "host", "10.0.0.1;::1"],
            "must be addresses or networks, such as 10.0.0.0/8, or unix",
        ),
        (
            parse_as.origins,
            ["*", "null", "app.example.com", "https://a/", "https://a/b", "ftp://a", "https://"],
            "must be origins, such as https://app.example.com, without a path",
        ),
        (parse_as.url("redis://"), ["redis://h:x"], "must have a number as its port"),
        (
            parse_as.mode,
            ["0888", "66", "00660", "rw-", "٦٦٠", "1777"],
            "must be three octal digits, such as 0660",
        ),
        (parse_as.master_key, [KEY[:-4]], "must be 32 bytes in base64: openssl rand -base64 32"),
        (
            parse_as.ack,
            ["", "disk", "replicated", "replicated:0", "replicated:100", "replicated:１"],
            "must be memory, fsynced or replicated:N, N from 1 to 99",
        ),
        (
            parse_as.token,
            ["x" * 31, "x" * 201, " " * 40, "é" * 40],
            "must be 32 to 200 visible ASCII characters: openssl rand -hex 32",
        ),
    ],
)
def test_refused(parse: Callable[[str], object], texts: list[str], sentence: str) -> None:
    """Anything else raises ValueError with the rest of a sentence."""
    for text in texts:
        with pytest.raises(ValueError) as caught:
            parse(text)
        assert str(caught.value) == sentence, text


@pytest.mark.parametrize(("ack", "count"), [("memory", 0), ("fsynced", 0), ("replicated:3", 3)])
def test_replicas_of(ack: str, count: int) -> None:
    """Only `replicated` asks for replicas."""
    assert parse_as.replicas_of(ack) == count
