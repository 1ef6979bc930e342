# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A judge and an index behind a network process, as in a real full node; time stands still."""

from fs_net.bridge import Decision
from fs_net.core.batch import take_untrusted
from fs_net.core.index import Index
from fs_net.core.judge import Judge
from fs_net.errors import Reason
from tests.net.world import NETWORK, NOW, Chain, Provider


class FullNode:
    """A full node that knows Bob's third record; his other records are older."""

    def __init__(self) -> None:
        self.chain, self.index = Chain(), Index()
        self.bob = Provider(1)
        self.chain.listings[self.bob.address] = self.bob.listing()
        self.judge = Judge(self.index, self.chain, NETWORK)
        self.record, self.older = self.bob.record(NOW), self.bob.record(NOW + 1)
        self.later = self.bob.record(NOW + 2)
        self.judge.record(b"friend", self.later.raw, NOW)

    def on_gossip(self, peer: bytes, topic: str, data: bytes) -> Decision:
        reasons = take_untrusted(self.judge, peer, data, NOW)
        if None in reasons:
            return Decision.ACCEPT
        blamed = {Reason.MALFORMED, Reason.OVERSIZED, Reason.BAD_SIGNATURE}
        return Decision.REJECT if blamed & set(reasons) else Decision.IGNORE

    def on_message(self, peer: bytes, message: bytes) -> None:
        self.judge.heartbeat(peer, message, NOW)

    async def on_question(self, peer: bytes, question: bytes) -> bytes:
        return question
