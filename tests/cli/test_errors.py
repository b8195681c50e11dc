"""The one fact about the error that ends commands."""

from cli.errors import CliError


def test_sentence() -> None:
    """A CliError's text is the sentence that the person reads."""
    assert str(CliError("Do this.")) == "Do this."
