# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Peers in the same local network, found by multicast DNS."""

from collections.abc import Callable
from typing import Any

import ifaddr
from libp2p.discovery.events.peerDiscovery import peerDiscovery
from libp2p.discovery.mdns.mdns import MDNSDiscovery, create_mdns_discovery
from libp2p.host.basic_host import BasicHost
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr
from multiaddr.exceptions import ProtocolLookupError

_FINGERPRINT = 10  # digits: with "p2p-" before them, DNS-SD allows 15 characters (RFC 6763, 7.2)
_UNSPECIFIED = {"ip4": "0.0.0.0", "ip6": "::"}  # noqa: S104 - only compared, never bound


def dialable(addresses: list[Multiaddr]) -> list[Multiaddr]:
    """Replace 0.0.0.0 and :: by the addresses of the interfaces.

    libp2p announces the unspecified address that it has bound, which nobody can dial.
    """
    found: list[Multiaddr] = []
    for address in addresses:
        family = address.protocols()[0].name
        value = address.value_for_protocol(family)
        if value != _UNSPECIFIED.get(family):
            found.append(address)
            continue
        rest = str(address).removeprefix(f"/{family}/{value}")
        found += [Multiaddr(f"/{family}/{each}{rest}") for each in _interfaces(family)]
    return found


def find_local_peers(
    host: BasicHost, network: bytes, on_peer: Callable[[PeerInfo], None]
) -> MDNSDiscovery:
    """Announce this peer and report others; ``on_peer`` is called from another thread."""
    peerDiscovery.register_peer_discovered_handler(on_peer)
    addresses = dialable(host.get_transport_addrs())
    discovery = create_mdns_discovery(
        host.get_network(),
        port=_port(addresses),
        listen_addrs=[str(each) for each in addresses],
        private_network_fingerprint=network.hex()[:_FINGERPRINT],
    )
    discovery.start()
    return discovery


def _port(addresses: list[Multiaddr]) -> int:
    for address in addresses:
        for protocol in ("tcp", "udp"):
            try:
                return int(address.value_for_protocol(protocol) or 0)
            except ProtocolLookupError:
                continue
    return 0


def _interfaces(family: str) -> list[str]:
    adapters: Any = ifaddr.get_adapters()
    found = [
        ip.ip if ip.is_IPv4 else ip.ip[0]
        for adapter in adapters
        for ip in adapter.ips
        if ip.is_IPv4 == (family == "ip4") and (ip.is_IPv4 or ip.ip[2] == 0)
    ]
    others = [each for each in found if not each.startswith("127.") and each != "::1"]
    return others or found
