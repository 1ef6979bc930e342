# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Tells of the connections that begin and end."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from libp2p.abc import INetConn, INetwork, INotifee
from libp2p.network.connection.swarm_connection import SwarmConn
from multiaddr import Multiaddr

OnConnection = Callable[[SwarmConn], Awaitable[None]]


class Watcher(INotifee):
    """Calls one function for each new connection, and another for each that has ended."""

    def __init__(self, on_begin: OnConnection, on_end: OnConnection) -> None:
        self._on_begin, self._on_end = on_begin, on_end

    async def connected(self, network: INetwork, conn: INetConn) -> None:  # noqa: ARG002
        await self._on_begin(cast(SwarmConn, conn))

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:  # noqa: ARG002
        await self._on_end(cast(SwarmConn, conn))

    async def opened_stream(self, network: INetwork, stream: Any) -> None: ...

    async def closed_stream(self, network: INetwork, stream: Any) -> None: ...

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None: ...

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None: ...
