"""The words of the contract: names of events, and identifiers."""

import re
import string
from functools import lru_cache

NAME_TEXT, IDENTIFIER_TEXT = r"[A-Za-z0-9_.:-]{1,128}", r"[A-Za-z0-9_.:-]{1,64}"
NAME = re.compile(NAME_TEXT).fullmatch
IDENTIFIER = re.compile(IDENTIFIER_TEXT).fullmatch
WORD_BYTES = f"{string.ascii_letters}{string.digits}_.:-".encode()  # of either


@lru_cache(1024)  # few names make up most of what is sent
def is_name(text: str) -> bool:
    """Whether an event may be called that."""
    return NAME(text) is not None
