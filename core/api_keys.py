"""API keys: how they look, and how they are looked up.

    key    := "contox_sk_" | 43 characters of base62, which are 32 random bytes
    prefix := the first 14 characters of a key, by which its owner knows it again
    digest := SHA-256 of the key's text, the only thing of it that is kept

A digest needs no salt and no slow hash: nobody can guess 256 random bits. It is looked up by an
index, and what an index may tell by its timing is the digest of something that was sent.
"""

import hashlib
import re

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
MARK = "contox_sk_"
ENTROPY_BYTES = 32
DIGITS = 43  # 62 ** 43 > 256 ** 32
PREFIX_CHARACTERS = len(MARK) + 4
KEY = re.compile(rf"{MARK}[0-9A-Za-z]{{{DIGITS}}}").fullmatch


def key_of(entropy: bytes) -> str:
    """The text of a new key. entropy: 32 random bytes."""
    number = int.from_bytes(entropy, "big")
    digits = []
    for _ in range(DIGITS):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return MARK + "".join(reversed(digits))


def is_key(text: str) -> bool:
    """Whether a text has a key's form."""
    return KEY(text) is not None


def digest_of(key: str) -> bytes:
    """The 32 bytes that a key is kept and looked up by."""
    return hashlib.sha256(key.encode()).digest()


def prefix_of(key: str) -> str:
    """What may be shown of a key: too little to use it."""
    return key[:PREFIX_CHARACTERS]
