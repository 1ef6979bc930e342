# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Which connections may come in, and how many from one source.

Ids cost nothing, but addresses do. So connections are counted by source (``core.sources``).
"""

from collections import Counter
from typing import Any, cast

from libp2p.abc import INetConn, IRawConnection
from libp2p.host.basic_host import BasicHost
from libp2p.network.exceptions import SwarmException
from libp2p.transport.quic.connection import QUICConnection

from fs_net.core.sources import source_of


class Door:
    """Counts the connections of each source, from before the handshake until they end.

    py-libp2p counts each incoming TCP connection until the host ends. When it has counted
    ``max_connections``, it accepts none any more. Here the count falls when a connection ends.
    """

    def __init__(self, host: BasicHost, most_each: int) -> None:
        self.refused = 0
        self._most, self._open = most_each, Counter[str]()
        self._network = cast(Any, host.get_network())
        self._enter, self._upgrade = (
            self._network._handle_inbound_connection,
            self._network.upgrade_inbound_raw_conn,
        )
        self._network._handle_inbound_connection = self._admit
        self._network.upgrade_inbound_raw_conn = self._stay

    def admits(self, conn: Any) -> bool:
        """Count an established connection; return whether it may stay."""
        source = _source_of_quic(conn)
        if source is None:
            return True
        self._open[source] += 1
        if self._open[source] <= self._most:
            return True
        self.refused += 1
        return False

    def forget(self, conn: INetConn) -> None:
        """Uncount a connection that was counted by ``admits`` and has ended."""
        source = _source_of_quic(conn)
        if source is not None:
            self._leave(source)

    async def _admit(self, raw: Any, listener: Any) -> None:
        """Count a TCP connection before its handshake."""
        remote = raw.get_remote_address()
        if remote is None or isinstance(raw, QUICConnection):
            await self._enter(raw, listener)
            return
        source = source_of(remote[0])
        if self._open[source] >= self._most:
            self.refused += 1
            await raw.close()
            return
        self._open[source] += 1
        try:
            await self._enter(raw, listener)
        finally:
            self._leave(source)

    async def _stay(self, raw: IRawConnection, listener: Any) -> None:
        """Wait until the connection ends; the exception then ends its handler."""
        muxed = await self._upgrade(raw, listener)
        for conn in list(self._network.connections.get(muxed.peer_id, ())):
            if conn.muxed_conn is muxed:
                await conn.event_closed.wait()
        raise SwarmException("the connection ended")

    def _leave(self, source: str) -> None:
        self._open[source] -= 1
        if self._open[source] <= 0:
            del self._open[source]


def _source_of_quic(conn: Any) -> str | None:
    muxed = conn.muxed_conn
    if isinstance(muxed, QUICConnection) and not muxed.is_initiator:
        return source_of(muxed._remote_addr[0])
    return None
