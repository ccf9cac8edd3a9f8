"""Who sent a request: the peer of the connection, or the client that a trusted proxy names in X-Forwarded-For."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

REMEMBERED_ADDRESSES = 4096


class Proxies:
    """The proxies that are believed, as networks; none means that every peer is the client itself."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        self._networks = tuple(networks)
        # Parsing an address costs more than the rest of an accepted hit's bookkeeping, and the proxies are few.
        self._trusts = lru_cache(REMEMBERED_ADDRESSES)(self._is_ours)

    def client(self, peer: str, forwarded_for: str | None) -> str:
        """The right-most address that is not a trusted proxy's, since what stands left of it anybody can write."""
        if not forwarded_for or not self._networks or not self._trusts(peer):
            return peer
        client = peer
        for hop in reversed(forwarded_for.split(",")):
            address = _address(hop)
            if address is None:
                break
            client = str(address)
            if not self._trusts(client):
                break
        return client

    def _is_ours(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._networks)


def network_of(client: str) -> str:
    """Whom a limit for each client counts as one: an IPv4 address, or the /64 that an IPv6 client is given whole."""
    address = _address(client) if ":" in client else None
    return client if address is None or address.version == 4 else str(IPv6Network((int(address) >> 64 << 64, 64)))


def _address(hop: str) -> IPv4Address | IPv6Address | None:
    """The address of one entry, which some proxies write with a port: 192.0.2.1:443, [2001:db8::1]:443."""
    text = hop.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.version == 6 and address.ipv4_mapped) or address
