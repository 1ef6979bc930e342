# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Guards that keep py-libp2p 0.8.1 running when peers are hostile or careless.

Each guard answers a defect that a test shows. Without the guard, that test fails.
"""

import logging
from collections import Counter
from typing import Any

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.kad_dht import common as dht_common
from libp2p.kad_dht import kad_dht, peer_routing, provider_store, value_store
from libp2p.network.exceptions import SwarmException
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.transport.quic.stream import QUICStream

from fs_net.host_process.yamux import MOST_HELD

log = logging.getLogger(__name__)

_STREAMS_EACH = 64  # open streams of one peer, over all protocols
MAX_DHT = 64 * 1024  # bytes of a message: a record, and the addresses of twenty peers
_RESET_WITHIN = 1.0  # s
_HANDLE_DATA_RECEIVED = QUICStream.handle_data_received


def guard_streams(host: BasicHost, caught: Counter[str]) -> None:
    """Reset a stream whose handler raises an exception, and count the exception.

    Without this guard the exception cancels the connection's nursery, and with it the whole host.
    Even a peer that closes its stream causes one: ``read`` raises StreamEOF. The guard also bounds
    how many streams of one peer are open, including streams that have not named a protocol yet.
    """
    network: Any = host.get_network()
    handle = network.common_stream_handler

    open_of: Counter[ID] = Counter()

    async def guarded(stream: INetStream) -> None:
        peer = stream.muxed_conn.peer_id
        if open_of[peer] >= _STREAMS_EACH:
            caught["too many streams"] += 1
            await reset(stream)
            return
        open_of[peer] += 1
        try:
            await handle(stream)
        except Exception as error:  # noqa: BLE001 - strangers can cause any exception
            caught[type(error).__name__] += 1
            await reset(stream)
        finally:
            open_of[peer] -= 1
            if not open_of[peer]:
                del open_of[peer]

    network.set_stream_handler(guarded)


async def reset(stream: INetStream) -> None:
    """Reset a stream, whatever its state."""
    with trio.move_on_after(_RESET_WITHIN) as scope:
        scope.shield = True
        try:
            await stream.reset()
        except Exception:  # noqa: BLE001 - the stream has ended already
            log.debug("a stream could not be reset")


def bound_quic() -> None:
    """Close each QUIC connection on which more than ``MOST_HELD`` bytes wait to be read.

    By itself, each QUIC stream holds up to 2 MiB and loses what exceeds it.
    """
    QUICStream.handle_data_received = _hold_bounded  # type: ignore[method-assign]


async def _hold_bounded(self: QUICStream, data: bytes, end_stream: bool) -> None:
    streams = self._connection._streams.values()
    if sum(len(each._receive_buffer) for each in streams) + len(data) > MOST_HELD:
        await self._connection.close()
    else:
        await _HANDLE_DATA_RECEIVED(self, data, end_stream)


async def dial(host: BasicHost, peer: PeerInfo) -> None:
    """Connect to a peer at the first address that answers; otherwise raise the last error.

    By itself, libp2p tries one address of each transport, from all that it ever heard. After a
    failure it dials no address of that peer for a minute.
    """
    network: Any = host.get_network()
    failure = SwarmException("the peer has no address")
    for address in peer.addrs:
        host.get_peerstore().clear_addrs(peer.peer_id)
        network.unblock_peer(peer.peer_id)
        try:
            await host.connect(PeerInfo(peer.peer_id, [address]))
        except SwarmException as error:
            failure = error
        else:
            return
    raise failure


def dht_protocol(network: bytes) -> TProtocol:
    """Return the protocol name of a network's DHT."""
    return TProtocol(f"/flowshield/{network.hex()[:16]}/kad/1.0.0")


def name_dht(network: bytes) -> str:
    """Give the DHT the protocol name of its network, bound its messages, and return the name.

    KadDHT ignores its ``protocol_prefix``, and would join the public DHT of IPFS.
    """
    name = dht_protocol(network)
    for module in (dht_common, kad_dht, peer_routing, provider_store, value_store):
        module.PROTOCOL_ID = name  # type: ignore[attr-defined]
        module.MAX_DHT_MESSAGE_SIZE = MAX_DHT  # type: ignore[attr-defined]
    return name
