"""Commands on the wire, byte for byte."""

from gateway.resp import bulk, command


def test_command() -> None:
    """A command is an array of strings, numbers in decimal; lengths are of bytes."""
    assert command("GET", "ü", 12) == b"*3\r\n$3\r\nGET\r\n$2\r\n\xc3\xbc\r\n$2\r\n12\r\n"


def test_bulk() -> None:
    """An argument may hold any bytes, line ends too."""
    assert bulk(b"\r\n") == b"$2\r\n\r\n\r\n"
