# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""KadDHT made safe against strangers: it bounds what each source may use, and stores only our data.

Without these bounds, twelve silent streams end the service for all others. Anybody could announce
any name, and the first to come would be remembered.
"""

from collections import Counter
from typing import Any

import trio
from libp2p.abc import IHost, INetStream
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.kad_dht.provider_store import ProviderRecord, ProviderStore
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.records.validator import NamespacedValidator

from fs_net.core.sources import source_of
from fs_net.host_process.guards import reset
from fs_wire.patience import patient
from fs_wire.ratelimit import RateLimiter

FULL_NODES = "/flowshield/full-nodes"  # the key under which the DHT lists full nodes
_STREAMS_EACH, _STREAMS = 16, 128  # open streams: of one source, of all
_PATIENCE = patient(5.0)  # s for a stream, which carries one question
_RATE, _BURST = 50.0, 200.0  # streams a second of one source
_PROVIDERS_EACH, _PROVIDERS = 4, 20  # full nodes that are remembered: of one source, of all


class GuardedDht(KadDHT):
    """Bounds the streams that it serves, and remembers only full nodes."""

    def __init__(self, host: IHost, mode: DHTMode, validator: NamespacedValidator) -> None:
        self.refused: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()
        self._limiter = RateLimiter(_RATE, _BURST, max_sources=8192)
        super().__init__(
            host,
            mode,
            validator=validator,
            validator_changed=True,
            strict_validation=True,
            enable_random_walk=True,
            max_peers_per_subnet_table=20,
        )
        self._inbound_limiter = trio.CapacityLimiter(_STREAMS)
        self.provider_store = FullNodeStore(host, self.peer_routing)

    async def handle_stream(self, stream: INetStream) -> None:
        """Serve a stream as KadDHT does, but bound each source's share and the time."""
        remote = stream.get_remote_address()
        source = source_of(remote[0]) if remote else "a circuit"
        if self._streams[source] >= _STREAMS_EACH or not self._limiter.allow(
            source, trio.current_time()
        ):
            self.refused["too many streams"] += 1
            return await reset(stream)
        self._streams[source] += 1
        try:
            with trio.move_on_after(_PATIENCE) as patience:
                await super().handle_stream(stream)
            if patience.cancelled_caught:
                self.refused["slow"] += 1
                await reset(stream)
        finally:
            self._streams[source] -= 1
            if not self._streams[source]:
                del self._streams[source]


class _FullNode(ProviderRecord):
    """A full node and the source from which it announced itself; the base class has the time."""

    def __init__(self, peer: PeerInfo, source: str) -> None:
        super().__init__(peer)
        self.source = source


class FullNodeStore(ProviderStore):
    """Peers that announced that they are full nodes.

    If there is no room, the full node that was silent for longest is dropped. It comes from the
    newcomer's source if that source has used its share, otherwise from the source with the most.
    """

    def add_provider(self, key: bytes, provider: PeerInfo) -> None:
        """Remember ``provider``, or note that it is still there."""
        if key != FULL_NODES.encode():
            return
        held: dict[str, Any] = self.providers.setdefault(key, {})
        held.pop(str(provider.peer_id), None)
        source = self._source(provider.peer_id)
        count = Counter(each.source for each in held.values())
        if count[source] >= _PROVIDERS_EACH:
            self._drop_one(held, source)
        elif len(held) >= _PROVIDERS:
            self._drop_one(held, count.most_common(1)[0][0])
        held[str(provider.peer_id)] = _FullNode(provider, source)

    def _drop_one(self, held: dict[str, Any], source: str) -> None:
        """Drop the full node of a source that was renewed least recently, which comes first."""
        del held[next(name for name, each in held.items() if each.source == source)]

    def _source(self, peer: ID) -> str:
        """Return the source of its connection, because the peer itself could claim any address."""
        network: Any = self.host.get_network()
        for conn in network.connections.get(peer, ()):
            muxed = conn.muxed_conn
            remote = muxed.get_remote_address() if hasattr(muxed, "get_remote_address") else None
            if remote:
                return source_of(remote[0])
        return str(peer)
