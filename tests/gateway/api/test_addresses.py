"""Whose request it is: a header is believed as far as trusted proxies have written it."""

import pytest

from gateway.api.addresses import Proxies

PROXIES = Proxies({"10.0.0.0/8", "2001:db8:1::/48"})


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.7, 10.9.9.9"], "198.51.100.7"),
        ("10.0.0.1", ["10.2.2.2 , 10.3.3.3"], "10.2.2.2"),
        ("10.0.0.1", ["1.1.1.1, junk"], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1, junk, 10.3.3.3"], "10.3.3.3"),
        ("10.0.0.1", ["", ","], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::/64"),
        ("10.0.0.1", ["unix"], "unix"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("2001:db8:1::5", ["2001:db8:2:3:4:5:6:7"], "2001:db8:2:3::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("", ["198.51.100.7"], "unix"),
        (None, ["198.51.100.7"], "unix"),
    ],
)
def test_client(peer: str | None, forwarded: list[str], client: str) -> None:
    """The client is the last address that no trusted proxy has; for IPv6 its network."""
    assert PROXIES.client(peer, forwarded) == client


def test_unix_socket() -> None:
    """Who comes over a Unix socket is believed only if the operator says so."""
    assert Proxies({"unix"}).client("", ["198.51.100.7"]) == "198.51.100.7"
    assert Proxies({"unix"}).client("10.0.0.1", ["198.51.100.7"]) == "10.0.0.1"


def test_nobody_is_trusted() -> None:
    """Without proxies the header is what a client has made up."""
    assert Proxies(()).client("127.0.0.1", ["198.51.100.7"]) == "127.0.0.1"
