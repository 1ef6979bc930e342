# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The peers that libp2p knows: their number is bounded, and ourselves are never forgotten.

The library's own store makes room by forgetting peers without addresses. One of them is ourselves,
with our key. So an attacker that names a thousand peers in a DHT answer would stop us from signing.
"""

from collections.abc import Callable, Iterable

from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore

MOST = 4000  # peers; if there are more, some are forgotten
STRANGERS = 1000  # strangers that stay then, the last heard of


class Peers(PeerStore):
    """Forgets strangers, the longest known first."""

    def __init__(self) -> None:
        super().__init__(max_peers=MOST)
        self.kept: Callable[[], Iterable[ID]] = tuple

    def _enforce_peer_limit(self) -> None:
        kept = set(self.kept())
        strangers = [peer for peer in self.peer_data_map if peer not in kept]
        for peer in strangers[:-STRANGERS]:
            self.clear_peerdata(peer)
