# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A place: the part of a provider's tunnel that belongs to one client."""

from dataclasses import dataclass

from fs_market.core.wire.eip712 import Domain
from fs_market.core.wire.messages import PeerConfig, Tunnel, tunnel_digest
from fs_market.core.wire.signatures import SigningKey
from fs_wire.types import Endpoint, IPAddress, PublicKey


@dataclass(frozen=True, slots=True)
class Place:
    """The addresses and the settings that a client gets in the tunnel."""

    wireguard_key: PublicKey  # the provider's
    endpoint: Endpoint
    addresses: tuple[IPAddress, ...]  # the client's
    dns: tuple[IPAddress, ...]
    gateway: IPAddress
    payment_port: int
    mtu: int

    def peer_config(self, node_key: SigningKey, domain: Domain, channel: bytes) -> PeerConfig:
        """Return the signed message that tells the place to the client of ``channel``."""
        tunnel = Tunnel(
            *(channel, self.wireguard_key, self.endpoint, self.addresses, self.dns),
            *(self.gateway, self.payment_port, self.mtu),
        )
        return PeerConfig(tunnel, node_key.sign(tunnel_digest(domain, tunnel.digest)))
