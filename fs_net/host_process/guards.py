# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Guards that keep py-libp2p 0.8.1 running when peers are hostile or careless.

Each guard answers a defect that a test shows. Without the guard, that test fails.
"""

import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import ValidationError
from libp2p.host.basic_host import BasicHost
from libp2p.kad_dht import common as dht_common
from libp2p.kad_dht import kad_dht, peer_routing, provider_store, value_store
from libp2p.network.exceptions import SwarmException
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.score import ScoreParams, TopicScoreParams
from libp2p.transport.quic.stream import QUICStream

from fs_net.bridge import Decision
from fs_net.host_process.mesh import GuardedRouter
from fs_net.host_process.yamux import MOST_HELD
from fs_wire.ratelimit import RateLimiter

log = logging.getLogger(__name__)

_STREAMS_EACH = 64  # open streams of one peer, over all protocols
MAX_GOSSIP = 64 * 1024  # bytes of an RPC: a batch, and room for control messages
MAX_DHT = 64 * 1024  # bytes of a message: a record, and the addresses of twenty peers
_RESET_WITHIN = 1.0  # s
_GOSSIP_RATE, _GOSSIP_BURST = 50.0, 200.0  # messages a second of one peer
_HANDLE_DATA_RECEIVED = QUICStream.handle_data_received
_MAX_JUDGED = 64  # messages that wait for a decision
GRAYLIST = -100.0

Judge = Callable[[bytes, str, bytes], Awaitable[Decision]]


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


class _Ignored(Exception):
    """The message is neither forwarded nor blamed on its forwarder."""


class GuardedPubsub(Pubsub):
    """Gossip that survives any message, lets our judge decide, and bounds what waits."""

    def __init__(self, host: BasicHost, router: GossipSub, judge: Judge) -> None:
        super().__init__(
            host,
            router,
            strict_signing=True,
            max_inbound_rpc_size=MAX_GOSSIP,
            max_subscriptions_per_rpc=32,
            max_subscriptions_per_peer=32,
        )
        self.caught: Counter[str] = Counter()
        self._judge, self._judged = judge, 0
        self._limiter = RateLimiter(_GOSSIP_RATE, _GOSSIP_BURST, max_sources=8192)

    async def push_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        """Take a message as Pubsub does, but count an exception instead of ending the host."""
        if msg_forwarder != self.my_id and not self._may_come(msg_forwarder):
            return
        try:
            await super().push_msg(msg_forwarder, msg)
        except _Ignored:
            self.caught["ignored"] += 1
        except Exception as error:  # noqa: BLE001 - strangers can cause any exception
            self.caught[type(error).__name__] += 1
            self._blame(msg_forwarder, msg)

    async def validate_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        """Ask our judge; Pubsub has no "ignore", and ends the host on other exceptions."""
        if msg_forwarder == self.my_id:
            return
        decision = await self._decide(msg_forwarder, msg)
        if decision is Decision.REJECT:
            raise ValidationError("rejected")
        if decision is Decision.IGNORE:
            self._mark_msg_seen(msg)
            raise _Ignored

    def is_graylisted(self, peer: ID) -> bool:
        """Whether the peer's messages lowered its score below the graylist threshold."""
        router: Any = self.router
        return any(router.scorer.score(peer, [topic]) <= GRAYLIST for topic in list(self.topic_ids))

    async def _decide(self, forwarder: ID, msg: rpc_pb2.Message) -> Decision:
        if len(msg.topicIDs) != 1 or self._judged >= _MAX_JUDGED:
            return Decision.IGNORE
        self._judged += 1
        try:
            return await self._judge(forwarder.to_bytes(), msg.topicIDs[0], msg.data)
        finally:
            self._judged -= 1

    def _may_come(self, forwarder: ID) -> bool:
        if self._limiter.allow(forwarder, trio.current_time()):
            return True
        self.caught["rate limited"] += 1
        return False

    def _blame(self, forwarder: ID, msg: rpc_pb2.Message) -> None:
        router: Any = self.router
        for topic in set(msg.topicIDs) & set(self.topic_ids):
            router.scorer.on_invalid_message(forwarder, topic)


class _Nothing(dict[Any, Any]):
    """A mapping that keeps nothing."""

    def __missing__(self, key: Any) -> deque[Any]:
        return deque(maxlen=0)


def gossip_router() -> GuardedRouter:
    """Make a GossipSub router with settings under which it keeps its promises."""
    router = GuardedRouter(
        protocols=[TProtocol(f"/meshsub/{version}") for version in ("1.2.0", "1.1.0", "1.0.0")],
        degree=6,
        degree_low=4,
        degree_high=12,
        heartbeat_interval=1,  # s; the default is 120
        adaptive_gossip_enabled=False,  # it would slow the heartbeat to 30 s
        spam_protection_enabled=False,  # it would drop more than 10 messages/s, even our own
        score_params=ScoreParams(
            # This implementation subtracts it, so it is positive, unlike in the specification.
            p4_invalid_messages=TopicScoreParams(weight=10.0, cap=1000.0, decay=0.99),
            publish_threshold=GRAYLIST / 2,
            gossip_threshold=GRAYLIST / 4,
            graylist_threshold=GRAYLIST,
        ),
    )
    # By itself, GossipSub queues every message for every connected peer that does not subscribe.
    # Providers never subscribe.
    router._pending_messages = _Nothing()  # type: ignore[assignment]
    return router


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
