# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Sessions of the market over libp2p."""

import contextlib
from collections.abc import Sequence

from fs_market.session.provider_agent import ProviderAgent
from fs_net.errors import NetError
from fs_net.host import Host
from fs_net.session import Session

CIRCUIT = "/p2p-circuit/"


class PeerRoute:
    """The way to a provider that is a peer: directly, or through full nodes.

    ``peer`` is its binary libp2p id. ``addresses`` are multiaddrs that end in that id. They are
    tried in their order, and those of QUIC last, because QUIC in libp2p may stall. The host also
    connects to full nodes on the way.
    """

    def __init__(self, host: Host, peer: bytes, addresses: Sequence[str]) -> None:
        self._host, self._peer = host, peer
        self._addresses = sorted(addresses, key=lambda each: "/quic" in each)
        self.relay: str | None = None  # the full node that led to the peer last

    def __str__(self) -> str:
        return ", ".join(self._addresses) or f"peer {self._peer.hex()}"

    async def dial(self) -> Session:
        """Open a session; OSError if no address leads to the peer."""
        with contextlib.suppress(NetError):
            return await self._session()
        failure: NetError | None = None
        for address in self._addresses:
            try:
                await self._connect(address)
                session = await self._session()
            except NetError as error:
                failure = error
                continue
            relay, circuit, _ = address.partition(CIRCUIT)
            self.relay = relay if circuit else None
            return session
        raise ConnectionRefusedError(str(failure or "no address of the peer is known")) from None

    async def _session(self) -> Session:
        """Over a connection that there is already."""
        return await self._host.open_session(self._peer)

    async def _connect(self, address: str) -> None:
        relay, circuit, _ = address.partition(CIRCUIT)
        await self._host.connect(relay)
        if circuit:
            await self._host.dial_circuit(address, punch=False)


async def serve_peer(agent: ProviderAgent, session: Session) -> None:
    """The provider's side. Limits count all sessions of a peer together, whatever its address."""
    await agent.serve(session, f"peer {session.peer.hex()}")
