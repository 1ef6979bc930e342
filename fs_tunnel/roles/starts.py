# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What each agent is told when it starts.

A start is the second line of an agent's standard input; the first is ``fs_tunnel.helper.starts``'s
``Launch``. ``role`` names the agent. A file of root's also has the start of a selling, paying or
prepaying agent, so that the agent can be started again.
"""

from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import Path
from typing import Literal

from fs_market.core.money.prices import Price
from fs_market.core.money.units import Token
from fs_market.core.wire.ethereum import Address
from fs_tunnel.helper.records import Codec, Text, parse_line, unknown
from fs_wire.types import Endpoint, IPAddress, PublicKey

CODEC = Codec(
    {
        **{
            kind: Text(str, kind)
            for kind in (
                *(IPv4Address, IPv4Interface, IPv4Network),
                *(IPv6Address, IPv6Interface, IPv6Network),
                *(Path, type(Path())),
            )
        },
        Address: Text(str, Address.parse),
        Endpoint: Text(str, Endpoint.parse),
        PublicKey: Text(PublicKey.to_base64, PublicKey.from_base64),
        bytes: Text(bytes.hex, bytes.fromhex),
    }
)


@dataclass(frozen=True, slots=True)
class User:
    """The user that an agent becomes."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """What a client pays from: its account, a part of its budget, and its books."""

    books: Path
    token: Token
    chain_id: int
    channels: Address
    genesis: bytes
    payer: Address
    wireguard_key: PublicKey
    budget: int  # base units


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealing:
    """A client's dealing with one provider.

    ``peer`` is the provider's libp2p id if only full nodes lead to it; ``relay`` is the one of
    ``relays`` that did. ``record`` is the provider's signed record, ``tunnel_key`` the key in it.
    """

    user: User
    purse: Purse
    session_key_file: Path
    max_price: Price
    node: Address | None = None  # whose signature a quote must have
    record: bytes | None = None
    tunnel_key: PublicKey | None = None
    peer: bytes = b""
    network: bytes = b""
    relays: tuple[str, ...] = ()
    relay: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderStart:
    """Sell places in a tunnel.

    ``conf`` is the provider's market.toml; ``conf_digest`` changes with its content and keys.
    ``reserved`` are the peers of the tunnel's file, and ``taken`` their addresses.
    """

    version: Literal[1] = 1
    role: Literal["provider"] = "provider"
    user: User
    conf: Path
    conf_digest: str
    books: Path
    wireguard_key: PublicKey
    addresses: tuple[IPv4Interface | IPv6Interface, ...]
    dns: tuple[IPAddress, ...]
    mtu: int
    reserved: tuple[PublicKey, ...]
    taken: tuple[IPAddress, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindStart:
    """Search for providers; ``find`` is the question to full nodes, as they read it.

    ``only_named`` says to ask no other full nodes. ``provider`` is the one account that is wanted,
    or empty.
    """

    version: Literal[1] = 1
    role: Literal["find"] = "find"
    user: User
    network: bytes
    find: bytes
    full_nodes: tuple[str, ...]
    only_named: bool
    provider: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _DealingStart:
    version: Literal[1] = 1
    dealing: Dealing

    @property
    def user(self) -> User:
        """The user that the agent becomes."""
        return self.dealing.user


@dataclass(frozen=True, slots=True, kw_only=True)
class NegotiateStart(_DealingStart):
    """Buy a place, or with ``only_reserves`` a channel alone, from the provider at an address."""

    role: Literal["negotiate"] = "negotiate"
    host: str
    port: int
    only_reserves: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepayStart(_DealingStart):
    """Buy a place from the provider at an address, and pay for all of it at once."""

    role: Literal["prepay"] = "prepay"
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStart(_DealingStart):
    """Order the place from a provider that stood by."""

    role: Literal["order"] = "order"


@dataclass(frozen=True, slots=True, kw_only=True)
class PayStart(_DealingStart):
    """Pay for a tunnel that is up, at the provider's address inside it."""

    role: Literal["client"] = "client"
    gateway: IPAddress
    payment_port: int
    provider_key: PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetStart(_DealingStart):
    """Ask a provider behind a NAT where its tunnel can be called."""

    role: Literal["meet"] = "meet"
    provider_key: PublicKey


AgentStart = (
    ProviderStart | FindStart | NegotiateStart | PrepayStart | OrderStart | PayStart | MeetStart
)

_KINDS: dict[object, type[AgentStart]] = {
    "provider": ProviderStart,
    "find": FindStart,
    "negotiate": NegotiateStart,
    "prepay": PrepayStart,
    "order": OrderStart,
    "client": PayStart,
    "meet": MeetStart,
}


def parse_start(line: bytes) -> AgentStart:
    """The start on a line; UnknownRecord if this version of the program writes no such start."""
    said = parse_line(line)
    role = said.get("role") if isinstance(said, dict) else None
    kind = _KINDS.get(role) if isinstance(role, str) else None
    if kind is None:
        raise unknown("no agent has its role")
    return CODEC.from_json(kind, said)
