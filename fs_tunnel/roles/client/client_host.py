# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A client's libp2p host. It is another peer each time, listens nowhere and answers nobody."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fs_net.bridge import Decision, Settings
from fs_net.host import Host
from fs_net.launchers import ForkServer
from fs_net.peer_ids import name_of
from fs_tunnel.roles.peer_route import CIRCUIT, PeerRoute
from fs_tunnel.roles.starts import Dealing

_MAX_CONNECTIONS = 50
_MAX_MEMORY = 512 << 20  # bytes


@asynccontextmanager
async def client_host(
    network: bytes, processes: ForkServer, named: Sequence[str]
) -> AsyncIterator[Host]:
    """A host that ends with the block; NetError if it does not start.

    ``named`` are the multiaddrs of full nodes that the user chose. The host dials no other address
    in its own networks.
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
    """An agent's way to a provider that only full nodes lead to."""

    def __init__(self, dealing: Dealing) -> None:
        """As root, start the process that will start the host as the agent's user."""
        self._network, self._peer = dealing.network, dealing.peer
        self._name = name_of(self._peer)
        self._processes = ForkServer(dealing.user.uid, dealing.user.gid)

    @asynccontextmanager
    async def route(self, relays: Sequence[str]) -> AsyncIterator[PeerRoute]:
        """The way through the first full node that leads there, of these multiaddrs."""
        behind = f"{CIRCUIT}p2p/{self._name}"
        async with client_host(self._network, self._processes, relays) as host:
            yield PeerRoute(host, self._peer, [f"{each}{behind}" for each in relays])


class _Mute:
    def on_gossip(self, peer: bytes, topic: str, data: bytes) -> Decision:
        return Decision.IGNORE

    def on_message(self, peer: bytes, message: bytes) -> None: ...

    async def on_question(self, peer: bytes, question: bytes) -> bytes:
        return b""
