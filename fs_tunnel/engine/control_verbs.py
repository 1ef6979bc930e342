# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The verbs of the control socket, which read or change a running engine.

``fs_wire.control`` documents requests, replies and events.  Each verb parses its request, touches
the device, and lets the engine pass on the output of the device.
"""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any, Protocol

from fs_tunnel.engine.control_server import (
    ControlServer,
    describe_limits,
    parse_admission_untrusted,
    parse_endpoints_untrusted,
    parse_limits_untrusted,
    parse_peer_untrusted,
)
from fs_tunnel.proto.device import Device
from fs_tunnel.proto.observer import MAX_SERVERS
from fs_tunnel.proto.path import CreditLow, EndpointMoved
from fs_tunnel.proto.peer import Peer
from fs_wire import uapi
from fs_wire.control import Message
from fs_wire.errors import UsageError
from fs_wire.types import Endpoint

GREETED_A_TURN = 8  # peers: about a millisecond
_MAX_CALLED = 8  # endpoints of a peer, called at once
_GREETING_PAUSE = 0.005  # seconds between two turns of our initiations: peers that call us go first


class RunningEngine(Protocol):
    """The part of the engine that the verbs need."""

    @property
    def listen_port(self) -> int:
        """The UDP port; 0 before the interface came up for the first time."""

    def now(self) -> float:
        """The protocol's clock, in seconds."""

    def check_link(self) -> None:
        """Notice at once whether the interface is up, down or gone."""

    def apply(self, update: uapi.DeviceUpdate) -> None:
        """Change the device, and pass on its output."""

    def flush(self) -> None:
        """Pass on all output of the device."""

    def stop(self) -> None:
        """End the engine."""

    def describe(self) -> Mapping[str, Any]:
        """The engine's own members of a ``status`` reply."""


class ControlVerbs:
    """Serves one engine's control socket."""

    def __init__(self, engine: RunningEngine, device: Device) -> None:
        self._engine = engine
        self._device = device
        self._server = ControlServer(
            {
                "status": self._status,
                "count": self._count,
                "limit": self._limit,
                "admit": self._admit,
                "remove": self._remove,
                "greet": self._greet,
                "observe": self._observe,
                "call": self._call,
                "stop": self._stop,
            }
        )

    async def start(self, listener: socket.socket) -> None:
        """Answer the clients that connect to ``listener``."""
        await self._server.start(listener)

    def close(self) -> None:
        """Accept no more connections."""
        self._server.close()

    def tell_observed(self, server: Endpoint, seen: Endpoint) -> None:
        """Send watchers the public endpoint of the tunnel's socket, as a STUN server sees it."""
        self._server.tell("observed", server=str(server), endpoint=str(seen))

    def _stop(self, _: Message) -> Message:
        self._engine.stop()
        return {}

    def _greet(self, _: Message) -> Message:
        self._engine.check_link()
        self._greet_some([peer for peer in self._device.peers.values() if peer.endpoint])
        return {}

    def _greet_some(self, peers: list[Peer]) -> None:
        """Greet a few at a time, so that peers with a session do not wait."""
        for peer in peers[:GREETED_A_TURN]:
            if self._device.peers.get(peer.public_key) is peer:
                peer.greet(self._engine.now())
        self._engine.flush()
        if rest := peers[GREETED_A_TURN:]:
            asyncio.get_running_loop().call_later(_GREETING_PAUSE, self._greet_some, rest)

    def _observe(self, request: Message) -> Message:
        self._engine.check_link()
        self._device.observe(
            parse_endpoints_untrusted(request, "servers", MAX_SERVERS), self._engine.now()
        )
        self._engine.flush()
        return {"listen_port": self._engine.listen_port}

    def _call(self, request: Message) -> Message:
        endpoints = parse_endpoints_untrusted(request, "endpoints", _MAX_CALLED)
        peer = self._device.peers.get(parse_peer_untrusted(request))
        if peer is None:
            raise UsageError("there is no such peer; add it first")
        self._engine.check_link()
        has_session = peer.call(endpoints, self._engine.now())
        self._engine.flush()
        return {"has_session": has_session}

    def _count(self, request: Message) -> Message:
        peer = self._device.peers.get(parse_peer_untrusted(request))
        if peer is None:
            return {"rx_bytes": 0, "tx_bytes": 0}
        return {"rx_bytes": peer.counters.rx_bytes, "tx_bytes": peer.counters.tx_bytes}

    def _admit(self, request: Message) -> Message:
        self._engine.apply(uapi.DeviceUpdate(peers=(parse_admission_untrusted(request),)))
        return {}

    def _remove(self, request: Message) -> Message:
        peer = uapi.PeerUpdate(parse_peer_untrusted(request), remove=True)
        self._engine.apply(uapi.DeviceUpdate(peers=(peer,)))
        return {}

    def _limit(self, request: Message) -> Message:
        peer = self._device.peers.get(parse_peer_untrusted(request))
        if peer is None:
            raise UsageError("there is no such peer; add it first")
        peer.limits = parse_limits_untrusted(request, peer.limits)
        return {}

    def tell(self, peer: Peer, notice: CreditLow | EndpointMoved) -> None:
        name = peer.public_key.to_base64()
        match notice:
            case CreditLow():
                credit, used = peer.limits.credit, peer.credit_used
                self._server.tell("credit_low", peer=name, credit=credit, credit_used=used)
            case EndpointMoved():
                self._server.tell("endpoint_moved", peer=name, endpoint=str(peer.endpoint))

    def _status(self, _: Message) -> Message:
        peers: dict[str, dict[str, Any]] = {
            peer.public_key.to_base64(): {
                **peer.counters._asdict(),
                "endpoint": str(peer.endpoint) if peer.endpoint else None,
                "latest_handshake_ns": peer.latest_handshake_ns,
                "limits": describe_limits(peer.limits),
                "credit_used": peer.credit_used,
            }
            for peer in self._device.peers.values()
        }
        return {"peers": peers, **self._engine.describe()}
