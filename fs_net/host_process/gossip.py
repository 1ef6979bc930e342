# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Gossip that keeps its promises although peers are hostile, and although connections end."""

from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import ValidationError
from libp2p.host.basic_host import BasicHost
from libp2p.host.exceptions import StreamFailure
from libp2p.network.exceptions import SwarmException
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.score import ScoreParams, TopicScoreParams

from fs_net.bridge import Decision
from fs_net.host_process.mesh import GuardedRouter
from fs_wire.ratelimit import RateLimiter

MAX_GOSSIP = 64 * 1024  # bytes of an RPC: a batch, and room for control messages
_GOSSIP_RATE, _GOSSIP_BURST = 50.0, 200.0  # messages a second of one peer
_MAX_JUDGED = 64  # messages that wait for a decision
GRAYLIST = -100.0
_UNKNOWN = "protocols not supported"  # libp2p's words for a peer that does not gossip

Judge = Callable[[bytes, str, bytes], Awaitable[Decision]]


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
        self._read: defaultdict[ID, list[INetStream]] = defaultdict(list)  # streams of each peer

    async def continuously_read_stream(self, stream: INetStream) -> None:
        """Read as Pubsub does, and note meanwhile that the peer is heard."""
        peer = stream.muxed_conn.peer_id
        self._read[peer].append(stream)
        try:
            await super().continuously_read_stream(stream)
        finally:
            self._read[peer].remove(stream)
            if not self._read[peer]:
                del self._read[peer]

    async def _handle_new_peer(self, peer_id: ID) -> None:
        """Open a stream as Pubsub does, and let it try again after any failure but a refusal.

        By itself, Pubsub gives a peer up for good if both do not agree on a protocol in time.
        """
        try:
            await super()._handle_new_peer(peer_id)
        except (StreamFailure, StreamError) as error:
            if _UNKNOWN in str(error.__cause__):
                raise
            raise SwarmException("a stream for gossip could not be opened") from error

    def renew(self, peer: ID) -> None:
        """Open a new stream to a peer if the connection of the last one has ended.

        Pubsub keeps the dead stream if the peer is connected once more by then. The peer, which
        forgot us, would not hear again that we subscribe.
        """
        stream = self.peers.get(peer)
        if stream is not None and _has_ended(stream):
            self._handle_dead_peer(peer)

    def _handle_dead_peer(self, peer_id: ID) -> None:
        """Forget a peer as Pubsub does, but not what it says on a connection that is open.

        A peer says once for each stream that it subscribes. So what came on a new connection must
        outlive an old one.
        """
        topics = [topic for topic, peers in self.peer_topics.items() if peer_id in peers]
        is_heard = not all(map(_has_ended, self._read.get(peer_id, ())))
        super()._handle_dead_peer(peer_id)
        if is_heard and topics:
            for topic in topics:
                self.peer_topics.setdefault(topic, set()).add(peer_id)
            self._peer_subscription_count[peer_id] = len(topics)

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


def _has_ended(stream: INetStream) -> bool:
    connection: Any = stream.muxed_conn
    return bool(connection.is_closed)


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
