"""The page that a run's tables go into."""

import pytest

from bench.document import BEGIN, END, PAGE, with_figures


def test_with_figures() -> None:
    """What is between the markers is replaced, however often; the rest stays."""
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = with_figures(page, "new\n")
    assert once == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert with_figures(once, "new\n") == once


def test_no_markers() -> None:
    """A page without markers is left alone."""
    with pytest.raises(ValueError, match="figures: begin"):
        with_figures("text", "new")


def test_the_page() -> None:
    """The page in the documentation can take figures."""
    assert "| new |" in with_figures(PAGE.read_text(), "| new |")
