# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The section [network] of ``market.toml``: how this machine joins the network.

[network]
bootstrap = ["/ip4/192.0.2.1/tcp/4001/p2p/12D3KooW…"]   # the first full nodes to connect to

Two keys are optional. ``listen`` holds the addresses on which other peers reach this one; its
default is ["/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1"]. ``local_peers`` (false) says
whether to find peers in the local network by mDNS.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fs_net.bridge import DEFAULT_LISTEN
from fs_wire.errors import ConfigError

_KNOWN = ("bootstrap", "listen", "local_peers")
_MOST = 32  # addresses in a list
_MAX_ADDRESS = 256  # characters


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """The values of the section; addresses are libp2p multiaddrs."""

    bootstrap: tuple[str, ...] = ()
    listen: tuple[str, ...] = DEFAULT_LISTEN
    local_peers: bool = False


def parse_network(section: Mapping[str, Any], source: str) -> NetworkSettings:
    """Parse the section; ConfigError names what is wrong, and an empty section is valid."""
    for name in section:
        if name not in _KNOWN:
            raise _wrong(source, name, f"no such key; use one of {', '.join(_KNOWN)}")
    local_peers = section.get("local_peers", False)
    if type(local_peers) is not bool:
        raise _wrong(source, "local_peers", "write true or false")
    return NetworkSettings(
        bootstrap=_addresses(section, source, "bootstrap", "/p2p/") or (),
        listen=_addresses(section, source, "listen", "/") or DEFAULT_LISTEN,
        local_peers=local_peers,
    )


def _addresses(
    section: Mapping[str, Any], source: str, name: str, part: str
) -> tuple[str, ...] | None:
    """Parse a list of multiaddrs as far as possible without libp2p; None if the key is missing."""
    if name not in section:
        return None
    value = section[name]
    if (
        type(value) is not list
        or len(value) > _MOST
        or not all(type(each) is str and _is_address(each, part) for each in value)
    ):
        raise _wrong(source, name, 'write a list such as ["/ip4/192.0.2.1/tcp/4001/p2p/12D3…"]')
    return tuple(value)


def _is_address(text: str, part: str) -> bool:
    is_plain = text.isascii() and text.isprintable() and len(text) <= _MAX_ADDRESS
    return is_plain and text.startswith("/") and part in text


def _wrong(source: str, name: str, message: str) -> ConfigError:
    return ConfigError(message, source=source, key=f"network.{name}")
