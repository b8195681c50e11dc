"""Addresses are compared in one form; the stores' contracts are in tests/contracts/."""

import pytest

from core.users import email_of


@pytest.mark.parametrize(
    ("text", "email"),
    [
        ("a@b", "a@b"),
        (" Ada@Example.COM\n", "ada@example.com"),
        ("admin@localhost", "admin@localhost"),
        ("\u00c4@b.de", "\u00e4@b.de"),
        ("x" * 64 + "@" + "y" * 189, "x" * 64 + "@" + "y" * 189),
    ],
)
def test_address(text: str, email: str) -> None:
    """An address is kept in lower case, without blanks around it."""
    assert email_of(text) == email


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "@b",
        "a@",
        "a@b@c",
        "a b@c",
        "a@b\x00",
        "a\u200b@b",
        "a@b\ud800",
        "x" * 65 + "@b",
        "x" * 64 + "@" + "y" * 190,
    ],
)
def test_no_address(text: str) -> None:
    """What cannot be an address is a ValueError."""
    with pytest.raises(ValueError, match="an email address is name@host"):
        email_of(text)
