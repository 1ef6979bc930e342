"""A client's libp2p host: another peer each time, that listens nowhere and answers nobody."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fs_net.bridge import Decision, Settings
from fs_net.host import Host
from fs_net.launchers import ForkServer
from fs_net.peer_ids import name_of
from fs_tunnel.roles.peer_route import CIRCUIT, PeerRoute

_MAX_CONNECTIONS = 50
_MAX_MEMORY = 512 << 20  # bytes


@asynccontextmanager
async def client_host(
    network: bytes, processes: ForkServer, named: Sequence[str]
) -> AsyncIterator[Host]:
    """It ends with the block; NetError where it does not start.

    ``named`` are the multiaddrs of full nodes that the user chose: it dials nobody else nearby.
    """
    with tempfile.TemporaryDirectory(prefix="fs-tunnel-") as folder:
        settings = Settings(
            folder,
            network,
            listen=(),
            max_connections=_MAX_CONNECTIONS,
            max_memory=_MAX_MEMORY,
            named=tuple(named),
        )
        host = Host(settings, _Mute(), processes)
        await host.start()
        try:
            yield host
        finally:
            await host.close()


class Relayed:
    """The way to a provider that full nodes pass us on to, for an agent."""

    def __init__(self, start: dict[str, Any]) -> None:
        """While this is root: have what will start the host as the agent's user."""
        self._network, self._peer = bytes.fromhex(start["network"]), bytes.fromhex(start["peer"])
        self._processes = ForkServer(start["uid"], start["gid"])

    @asynccontextmanager
    async def route(self, relays: Sequence[str]) -> AsyncIterator[PeerRoute]:
        """Through the first full node that leads there, of these multiaddrs."""
        behind = f"{CIRCUIT}p2p/{name_of(self._peer)}"
        async with client_host(self._network, self._processes, relays) as host:
            yield PeerRoute(host, self._peer, [f"{each}{behind}" for each in relays])


class _Mute:
    def on_gossip(self, peer: bytes, topic: str, data: bytes) -> Decision:
        return Decision.IGNORE

    def on_message(self, peer: bytes, message: bytes) -> None: ...

    async def on_question(self, peer: bytes, question: bytes) -> bytes:
        return b""
