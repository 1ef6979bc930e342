# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Circuits through full nodes for peers behind a NAT, and hole punching to get off them.

Over TCP, two peers behind NATs get a direct connection. Over QUIC the circuit stays.
"""

import time
from contextlib import AsyncExitStack

import trio
from libp2p.abc import IHost
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.config import RelayConfig, RelayRole
from libp2p.relay.circuit_v2.dcutr import DCUtRProtocol
from libp2p.relay.circuit_v2.discovery import RelayInfo
from libp2p.relay.circuit_v2.protocol import (
    PROTOCOL_ID,
    STOP_PROTOCOL_ID,
    CircuitV2Protocol,
)
from libp2p.relay.circuit_v2.resources import RelayLimits
from libp2p.relay.circuit_v2.transport import CircuitV2Transport
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

_LIMITS = RelayLimits(
    duration=3600,  # s
    data=16 << 20,  # bytes: enough for negotiation, not for a tunnel
    max_circuit_conns=64,
    max_reservations=128,
)


class Relay:
    """Relays for others if this is a full node; otherwise others relay for us.

    Without ``punches``, a circuit never leads to a direct connection. The other side could
    otherwise make us dial any address that it names.
    """

    def __init__(self, host: IHost, *, relays: bool, punches: bool) -> None:
        self._protocol = CircuitV2Protocol(host, limits=_LIMITS, allow_hop=relays)
        roles = RelayRole.STOP | RelayRole.CLIENT
        config = RelayConfig(roles=roles | RelayRole.HOP if relays else roles, limits=_LIMITS)
        self._transport = CircuitV2Transport(host, self._protocol, config)
        self._punch = DCUtRProtocol(host) if punches else None
        host.set_stream_handler(PROTOCOL_ID, self._protocol._handle_hop_stream)
        host.set_stream_handler(STOP_PROTOCOL_ID, self._protocol._handle_stop_stream)

    async def start(self, stack: AsyncExitStack) -> None:
        """Run until ``stack`` closes."""
        for service in (self._protocol, self._punch):
            if service is not None:
                await stack.enter_async_context(background_trio_service(service))

    async def reserve(self, relay: ID, deadline: float) -> bool:
        """Ask a connected full node to relay circuits to us."""
        discovery = self._transport.discovery
        with trio.move_on_after(deadline):
            # Every full node relays. If this one is not identified yet, libp2p's discovery would
            # decide for good that it does not, so we tell discovery.
            discovery._discovered_relays[relay] = RelayInfo(relay, time.time(), time.time())
            return bool(await discovery.make_reservation(relay))
        return False

    async def dial(self, address: Multiaddr, peer: ID, deadline: float, *, punch: bool) -> bool:
        """Connect over ``…/p2p-circuit/p2p/…``; return whether a direct connection followed.

        Without ``punch`` the call does not wait for a direct connection, which may follow later.
        """
        with trio.fail_after(deadline):
            await self._transport.dial(address)
        if not punch or self._punch is None:
            return False
        with trio.move_on_after(deadline):
            return bool(await self._punch.initiate_hole_punch(peer))
        return False
