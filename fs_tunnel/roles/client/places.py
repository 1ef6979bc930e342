# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A place in a provider's tunnel: read from an agent, written as a wg-quick file and a start."""

from dataclasses import dataclass
from ipaddress import ip_address

from fs_market.errors import MarketError
from fs_tunnel.config import MAX_MTU, MIN_MTU
from fs_tunnel.roles.market_files import MarketFiles, write_private
from fs_tunnel.roles.starts import Dealing, PayStart
from fs_wire.errors import FlowShieldError
from fs_wire.types import Endpoint, IPAddress, PrivateKey, PublicKey

_KEEPALIVE = 25  # seconds
_MOST = 16  # addresses of a kind


@dataclass(frozen=True, slots=True)
class Place:
    """What the tunnel's file and the paying agent need to know."""

    wireguard_key: PublicKey
    endpoint: Endpoint
    addresses: tuple[IPAddress, ...]
    dns: tuple[IPAddress, ...]
    gateway: IPAddress
    payment_port: int
    mtu: int


def parse_place_untrusted(told: object, tunnel_key: PublicKey | None = None) -> Place:
    """A place as an agent tells it; MarketError for anything else.

    ``tunnel_key`` is the key in the provider's record; None allows any key.
    """
    try:
        if not isinstance(told, dict):
            raise TypeError
        endpoint = Endpoint.parse(str(told["endpoint"]))
        place = Place(
            wireguard_key=PublicKey.from_base64(str(told["wireguard_key"])),
            endpoint=endpoint,
            addresses=_addresses(told["addresses"]),
            dns=_addresses(told["dns"]),
            gateway=_address(told["gateway"]),
            payment_port=int(told["payment_port"]),
            mtu=int(told["mtu"]),
        )
        outside = ip_address(endpoint.ip)
    except (KeyError, TypeError, ValueError, FlowShieldError):
        place = None
    if (
        place is None
        or not place.addresses
        or not 0 < place.payment_port < 1 << 16
        or not MIN_MTU <= place.mtu <= MAX_MTU
        or endpoint.scope_id
        or outside.is_loopback
        or outside.is_multicast
        or outside.is_unspecified
    ):
        raise MarketError("the provider gives no place in its tunnel; choose another")
    if tunnel_key not in (None, place.wireguard_key):
        raise MarketError(
            "the provider gives a place in another tunnel than its record names; choose another"
        )
    return place


def take(files: MarketFiles, private: PrivateKey, place: Place, dealing: Dealing) -> None:
    """Write the tunnel's file, and the start of the agent that pays for it."""
    write_private(files.conf, "\n".join(conf_lines(private, place)).encode() + b"\n")
    files.write_start(
        PayStart(
            dealing=dealing,
            gateway=place.gateway,
            payment_port=place.payment_port,
            provider_key=place.wireguard_key,
        )
    )


def conf_lines(private: PrivateKey | None, place: Place, *interface: str) -> list[str]:
    """The lines of a wg-quick file for a full tunnel to this place.

    ``interface`` adds lines to the section of that name. Without ``private``, the file lacks its
    PrivateKey.
    """
    return [
        "[Interface]",
        *([f"PrivateKey = {private.to_base64()}"] if private else []),
        f"Address = {', '.join(f'{each}/{each.max_prefixlen}' for each in place.addresses)}",
        *([f"DNS = {', '.join(map(str, place.dns))}"] if place.dns else []),
        *interface,
        "[Peer]",
        f"PublicKey = {place.wireguard_key.to_base64()}",
        f"Endpoint = {place.endpoint}",
        "AllowedIPs = 0.0.0.0/0, ::/0",
        f"PersistentKeepalive = {_KEEPALIVE}",
    ]


def _addresses(value: object) -> tuple[IPAddress, ...]:
    if not isinstance(value, list) or len(value) > _MOST:
        raise TypeError
    return tuple(map(_address, value))


def _address(value: object) -> IPAddress:
    address = ip_address(str(value))
    if getattr(address, "scope_id", None):
        raise ValueError
    return address
