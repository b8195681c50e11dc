"""How one setting is declared: its default, how it is read, what it means and in which unit."""

from collections.abc import Callable
from dataclasses import field
from typing import Any


def setting(default: str, parse: Callable[[str], Any], help_: str, *, secret: bool = False) -> Any:
    """A field of a class of settings.

    default: as text, as an operator would write it. parse: raises ValueError, see core/parse_as.py.
    help_: one sentence. secret: it is masked where settings are shown.
    """
    meta = {"default": default, "parse": parse, "help": help_, "secret": secret}
    return field(default_factory=lambda: parse(default), metadata=meta)
