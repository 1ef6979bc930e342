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

    ``peer`` is its libp2p id in binary; ``addresses`` are multiaddrs that end in that id, and are
    tried in their order, those of QUIC last: libp2p's may stall.  Full nodes on the way are dialled
    where they are not connected.
    """

    def __init__(self, host: Host, peer: bytes, addresses: Sequence[str]) -> None:
        self._host, self._peer = host, peer
        self._addresses = sorted(addresses, key=lambda each: "/quic" in each)
        self.relay: str | None = None  # the full node that led there last

    def __str__(self) -> str:
        return ", ".join(self._addresses) or f"peer {self._peer.hex()}"

    async def dial(self) -> Session:
        """OSError where no address leads there."""
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
        raise ConnectionRefusedError(str(failure or "no address of it is known")) from None

    async def _session(self) -> Session:
        """With whom we are connected to already."""
        return await self._host.open_session(self._peer)

    async def _connect(self, address: str) -> None:
        relay, circuit, _ = address.partition(CIRCUIT)
        await self._host.connect(relay)
        if circuit:
            await self._host.dial_circuit(address, punch=False)


async def serve_peer(agent: ProviderAgent, session: Session) -> None:
    """A provider's side; who is asked for as a peer is limited as one, whatever its address."""
    await agent.serve(session, f"peer {session.peer.hex()}")
