"""What words may be: every character of a byte, and every length at the bound."""

import string

import pytest

from core.words import IDENTIFIER, NAME, WORD_BYTES, is_name

ALLOWED = set(f"{string.ascii_letters}{string.digits}_.:-")


@pytest.mark.parametrize("is_word", [is_name, NAME, IDENTIFIER])
def test_characters(is_word: object) -> None:
    """Letters and digits of ASCII and four marks, and no others."""
    taken = {chr(code) for code in range(0x300) if is_word(f"a{chr(code)}")}  # type: ignore[operator]
    assert taken == ALLOWED
    assert set(WORD_BYTES.decode()) == ALLOWED


@pytest.mark.parametrize(("is_word", "most"), [(is_name, 128), (NAME, 128), (IDENTIFIER, 64)])
def test_lengths(is_word: object, most: int) -> None:
    """One to the most that there may be."""
    taken = [length for length in range(200) if is_word("a" * length)]  # type: ignore[operator]
    assert taken == list(range(1, most + 1))
