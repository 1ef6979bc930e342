"""KadDHT for strangers: what each place may take of it is bounded, and what it keeps is ours.

Unguarded, twelve silent streams are the end of service for all others, any name may be said to be
served, and whoever comes first is remembered.
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

from fs_net.host_process.door import place_of
from fs_net.host_process.guards import reset
from fs_wire.ratelimit import RateLimiter

FULL_NODES = "/flowshield/full-nodes"  # what full nodes provide in the DHT
_STREAMS_EACH, _STREAMS = 16, 128  # at a time: of one place, of all
_PATIENCE = 5.0  # s for a stream, on which one question comes
_RATE, _BURST = 50.0, 200.0  # streams a second of one place
_PROVIDERS_EACH, _PROVIDERS = 4, 20  # that are remembered: of one place, of all


class GuardedDht(KadDHT):
    """Serves streams within bounds, and remembers full nodes alone."""

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
        """As in KadDHT, but nobody takes more than a share, nor takes long."""
        remote = stream.get_remote_address()
        place = place_of(remote[0]) if remote else "a circuit"
        if self._streams[place] >= _STREAMS_EACH or not self._limiter.allow(
            place, trio.current_time()
        ):
            self.refused["too many streams"] += 1
            return await reset(stream)
        self._streams[place] += 1
        try:
            with trio.move_on_after(_PATIENCE) as patience:
                await super().handle_stream(stream)
            if patience.cancelled_caught:
                self.refused["slow"] += 1
                await reset(stream)
        finally:
            self._streams[place] -= 1
            if not self._streams[place]:
                del self._streams[place]


class _FullNode(ProviderRecord):
    """Who said so, when, and from where."""

    def __init__(self, peer: PeerInfo, place: str) -> None:
        super().__init__(peer)
        self.place = place


class FullNodeStore(ProviderStore):
    """Who says that it is a full node.

    Where there is no more room, the one that was silent for longest makes some: of the newcomer's
    own place when that has its share, else of the place that has most.
    """

    def add_provider(self, key: bytes, provider: PeerInfo) -> None:
        """Remember ``provider``, or that it is still there."""
        if key != FULL_NODES.encode():
            return
        held: dict[str, Any] = self.providers.setdefault(key, {})
        held.pop(str(provider.peer_id), None)
        place = self._place(provider.peer_id)
        count = Counter(each.place for each in held.values())
        if count[place] >= _PROVIDERS_EACH:
            self._drop_one(held, place)
        elif len(held) >= _PROVIDERS:
            self._drop_one(held, count.most_common(1)[0][0])
        held[str(provider.peer_id)] = _FullNode(provider, place)

    def _drop_one(self, held: dict[str, Any], place: str) -> None:
        """Of a place, the one that was renewed least recently, which stands first."""
        del held[next(name for name, each in held.items() if each.place == place)]

    def _place(self, peer: ID) -> str:
        """Where it is connected from; by itself it could claim any."""
        network: Any = self.host.get_network()
        for conn in network.connections.get(peer, ()):
            muxed = conn.muxed_conn
            remote = muxed.get_remote_address() if hasattr(muxed, "get_remote_address") else None
            if remote:
                return place_of(remote[0])
        return str(peer)
