"""Whom libp2p knows: bounded, and never without ourselves.

The library's own store makes room by forgetting who has no address.  That is we, and our key with
us: whoever names a thousand peers in an answer of the DHT ends our signing.
"""

from collections.abc import Callable, Iterable

from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore

MOST = 4000  # peers, until some are forgotten
STRANGERS = 1000  # of those who need not be kept, heard of last


class Peers(PeerStore):
    """Forgets strangers, the first known first."""

    def __init__(self) -> None:
        super().__init__(max_peers=MOST)
        self.kept: Callable[[], Iterable[ID]] = tuple

    def _enforce_peer_limit(self) -> None:
        kept = set(self.kept())
        strangers = [peer for peer in self.peer_data_map if peer not in kept]
        for peer in strangers[:-STRANGERS]:
            self.clear_peerdata(peer)
