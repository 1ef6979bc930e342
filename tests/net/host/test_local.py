# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Peers in one network find each other, and can dial the announced addresses."""

import ifaddr
import pytest
from multiaddr import Multiaddr

from fs_net.host_process.local import dialable


def texts(*addresses: str) -> list[str]:
    return [str(each) for each in dialable([Multiaddr(each) for each in addresses])]


@pytest.fixture(autouse=True)
def interfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    def adapter(name: str, *ips: str | tuple[str, int, int]) -> ifaddr.Adapter:
        return ifaddr.Adapter(name, name, [ifaddr.IP(ip, 24, name) for ip in ips])

    found = [
        adapter("lo", "127.0.0.1", ("::1", 0, 0)),
        adapter("eth0", "192.0.2.7", ("2001:db8::7", 0, 0), ("fe80::7", 0, 2)),
    ]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: found)


def test_nobody_is_told_to_dial_the_unspecified_address() -> None:
    """By itself, libp2p announces the address that it has bound."""
    assert texts("/ip4/0.0.0.0/tcp/4001") == ["/ip4/192.0.2.7/tcp/4001"]
    assert texts("/ip4/0.0.0.0/udp/4001/quic-v1") == ["/ip4/192.0.2.7/udp/4001/quic-v1"]
    assert texts("/ip6/::/tcp/4001") == ["/ip6/2001:db8::7/tcp/4001"]


def test_other_addresses_stay() -> None:
    chosen = ["/ip4/127.0.0.1/tcp/1", "/ip4/198.51.100.1/udp/2/quic-v1", "/dns/example.org/tcp/3"]
    assert texts(*chosen) == chosen
