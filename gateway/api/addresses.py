"""Which client a request comes from, where proxies may stand between.

A proxy appends to X-Forwarded-For the address that it was connected from. So the list is believed
from its end, as far as trusted proxies have written it; what a client has put into it comes before
that, and does not count.
"""

from collections.abc import Collection, Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

UNIX = "unix"  # the address of whoever comes over a Unix socket
IPV6_PREFIX = 64  # what one client has to itself


class Proxies:
    """The proxies that an operator trusts: networks, and the word unix."""

    def __init__(self, names: Collection[str]) -> None:
        self._unix = UNIX in names
        self._networks: list[IPv4Network | IPv6Network] = [
            ip_network(name) for name in names if name != UNIX
        ]

    def client(self, peer: str | None, forwarded: Iterable[str]) -> str:
        """The client's address, or network for IPv6. peer: what is connected; None or empty for a
        Unix socket. forwarded: the values of X-Forwarded-For, in order."""
        client = _plain(peer or UNIX) or UNIX
        hops = [hop.strip() for line in forwarded for hop in line.split(",")]
        while hops and self._trusts(client):
            address = _plain(hops.pop())
            if address is None:
                break
            client = address
        return _bucket(client)

    def _trusts(self, address: str) -> bool:
        if address == UNIX:
            return self._unix
        parsed = ip_address(address)
        return any(parsed in network for network in self._networks)


def _plain(text: str) -> str | None:
    """An address without port, brackets and zone; None if it is none."""
    if text == UNIX:
        return text
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _bucket(address: str) -> str:
    if ":" not in address:
        return address
    return str(ip_network(f"{address}/{IPV6_PREFIX}", strict=False))
