# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Which addresses a client may dial: the internet, and private addresses that the user named.

A search walks the DHT, so libp2p dials the addresses that strangers name. A stranger must not reach
private services through us, for example the web page of a router.
"""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from libp2p.network.connection_gate import ConnectionGate
from multiaddr import Multiaddr

# The entries of IANA's special-purpose registries (RFC 6890) that lead to nearby hosts.
_NEAR = [
    ip_network(each)
    for each in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),
        *("::/127", "::ffff:0:0/96", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
]


class ClientGate(ConnectionGate):
    """libp2p asks this gate before it dials an address."""

    def __init__(self, named: Iterable[str]) -> None:
        """``named`` are the multiaddrs that the user chose; their hosts may be in any network."""
        super().__init__()
        self._named = {_host_of(Multiaddr(each)) for each in named}

    async def is_allowed(self, remote_addr: Multiaddr) -> bool:
        """Whether to dial this address."""
        kind, host = first = _host_of(remote_addr)
        if first in self._named:
            return True
        # Resolving a name that a stranger chose would already reveal it to the resolver.
        return kind in ("ip4", "ip6") and not any(ip_address(host) in each for each in _NEAR)


def _host_of(address: Multiaddr) -> tuple[str, str]:
    """Return the first part of an address: ip4, ip6 or a kind of DNS name, and its value."""
    protocol, value = next(iter(address.items()))
    return protocol.name, str(value)
