# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The gossip mesh, in which some slots are ours to give.

Any peer may ask to join a mesh. A crowd of attackers could fill it, and then decide what we hear.
So a full mesh refuses newcomers. But full nodes that we chose always get a slot: those in the
settings, and those that the program dialled.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2

_CHOSEN = 4  # slots for chosen peers


class GuardedRouter(GossipSub):
    """GossipSub with slots for chosen peers."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._chosen: dict[ID, None] = {}

    def choose(self, peer: ID) -> None:
        """Give the peer a slot whenever it is connected, while there are slots for chosen peers."""
        self._chosen.setdefault(peer)

    async def handle_graft(self, graft_msg: rpc_pb2.ControlGraft, sender_peer_id: ID) -> None:
        """Handle a request to join as GossipSub does, but add only chosen peers to a full mesh."""
        topic = graft_msg.topicID
        members = self.mesh.get(topic, set())
        is_full = len(members) >= self.degree_high and sender_peer_id not in members
        if is_full and sender_peer_id not in self._chosen:
            await self.emit_prune(topic, sender_peer_id, False, False)
        else:
            await super().handle_graft(graft_msg, sender_peer_id)

    def mesh_heartbeat(self) -> tuple[defaultdict[ID, list[str]], defaultdict[ID, list[str]]]:
        """Do what GossipSub does, and add connected chosen peers to the mesh."""
        to_graft, to_prune = super().mesh_heartbeat()
        for topic, members in self.mesh.items():
            for peer in self._present(topic):
                if peer not in members and not self._check_back_off(peer, topic):
                    members.add(peer)
                    to_graft[peer].append(topic)
        return to_graft, to_prune

    def _select_peers_for_pruning(self, topic: str, num_to_prune: int) -> list[ID]:
        kept = set(self._present(topic))
        pruned = super()._select_peers_for_pruning(topic, num_to_prune + len(kept))
        return [peer for peer in pruned if peer not in kept][:num_to_prune]

    def _present(self, topic: str) -> Iterable[ID]:
        """Return the chosen peers that subscribe to a topic, up to the number of their slots."""
        assert self.pubsub is not None
        there = self.pubsub.peer_topics.get(topic, set())
        return [peer for peer in self._chosen if peer in there and not self._shunned(peer, topic)][
            :_CHOSEN
        ]

    def _shunned(self, peer: ID, topic: str) -> bool:
        return self.scorer is not None and self.scorer.is_graylisted(peer, [topic])
