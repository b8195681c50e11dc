"""Keys have one form, and nothing of them but the digest and the beginning is kept."""

import hashlib
import os

import pytest

from core.api_keys import ALPHABET, ENTROPY_BYTES, digest_of, is_key, key_of, prefix_of


def test_form() -> None:
    """A key is contox_sk_ and 43 digits of base62, whatever the bytes."""
    for entropy in (bytes(32), b"\xff" * 32, *(os.urandom(ENTROPY_BYTES) for _ in range(100))):
        key = key_of(entropy)
        assert is_key(key)
        assert len(key) == 53


def test_base62() -> None:
    """The digits are the bytes' number in base 62, the highest first, with leading zeros."""
    assert key_of(bytes(32)) == "contox_sk_" + "0" * 43
    assert key_of(bytes(31) + bytes([61])) == "contox_sk_" + "0" * 42 + "z"
    assert key_of(bytes(31) + bytes([62])) == "contox_sk_" + "0" * 41 + "10"
    digits = key_of(b"\xff" * 32).removeprefix("contox_sk_")
    number = 0
    for digit in digits:
        number = number * 62 + ALPHABET.index(digit)
    assert number == (1 << 256) - 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "contox_sk_",
        "contox_sk_" + "0" * 42,
        "contox_sk_" + "0" * 44,
        "contox_sk_" + "0" * 42 + "-",
        "contox_sk_" + "0" * 43 + "\n",
        "contox_sk_" + "0" * 42 + "\uff10",
        "CONTOX_SK_" + "0" * 43,
        " contox_sk_" + "0" * 43,
    ],
)
def test_not_a_key(text: str) -> None:
    """Anything else is not taken for a key."""
    assert not is_key(text)


def test_digest_and_prefix() -> None:
    """A key is kept as SHA-256 of its text, and shown by its first 14 characters."""
    key = key_of(bytes(32))
    assert digest_of(key) == hashlib.sha256(key.encode()).digest()
    assert prefix_of(key) == "contox_sk_0000"
