"""Who may come in, and how many from one place.

Names cost nothing, addresses do.  A place is an IPv4 address or a /64 of IPv6: one host may have
all of that (RFC 6177).
"""

from collections import Counter
from ipaddress import ip_address, ip_network
from typing import Any, cast

from libp2p.abc import INetConn, IRawConnection
from libp2p.host.basic_host import BasicHost
from libp2p.network.exceptions import SwarmException
from libp2p.transport.quic.connection import QUICConnection

_PREFIX = 64  # bits of an IPv6 address


class Door:
    """Counts what comes from each place, from before its handshake to its end.

    py-libp2p counts each inbound connection over TCP until the host ends, and accepts none when it
    has counted ``max_connections``; here that ends with the connection.
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
        """Count a connection that is established; whether it may stay."""
        place = _place_of_quic(conn)
        if place is None:
            return True
        self._open[place] += 1
        if self._open[place] <= self._most:
            return True
        self.refused += 1
        return False

    def forget(self, conn: INetConn) -> None:
        """The connection, which was counted when it was established, ended."""
        place = _place_of_quic(conn)
        if place is not None:
            self._leave(place)

    async def _admit(self, raw: Any, listener: Any) -> None:
        """Over TCP, where a handshake is still to come."""
        remote = raw.get_remote_address()
        if remote is None or isinstance(raw, QUICConnection):
            await self._enter(raw, listener)
            return
        place = place_of(remote[0])
        if self._open[place] >= self._most:
            self.refused += 1
            await raw.close()
            return
        self._open[place] += 1
        try:
            await self._enter(raw, listener)
        finally:
            self._leave(place)

    async def _stay(self, raw: IRawConnection, listener: Any) -> None:
        """Until the connection ends; then the exception leads its handler out."""
        muxed = await self._upgrade(raw, listener)
        for conn in list(self._network.connections.get(muxed.peer_id, ())):
            if conn.muxed_conn is muxed:
                await conn.event_closed.wait()
        raise SwarmException("the connection ended")

    def _leave(self, place: str) -> None:
        self._open[place] -= 1
        if self._open[place] <= 0:
            del self._open[place]


def place_of(address: str) -> str:
    """What counts as one source."""
    ip = ip_address(address.partition("%")[0])
    if ip.version == 6:
        mapped = ip.ipv4_mapped
        return str(mapped) if mapped else str(ip_network((ip, _PREFIX), strict=False))
    return str(ip)


def _place_of_quic(conn: Any) -> str | None:
    muxed = conn.muxed_conn
    if isinstance(muxed, QUICConnection) and not muxed.is_initiator:
        return place_of(muxed._remote_addr[0])
    return None
