"""How a setting is declared."""

from dataclasses import dataclass, fields

from core import parse_as
from core.setting import setting


def test_setting() -> None:
    """A field's default is read as an operator's text is, and all of it is told by its metadata."""

    @dataclass(frozen=True, kw_only=True)
    class Two:
        one: int = setting("7", parse_as.whole(1, 9), "One.")
        two: str = setting("x", str, "Two.", secret=True)

    assert (Two().one, Two().two, Two(one=3).one) == (7, "x", 3)
    one, two = (field.metadata for field in fields(Two))
    assert (one["default"], one["help"], one["secret"]) == ("7", "One.", False)
    assert (one["parse"]("9"), two["secret"]) == (9, True)
