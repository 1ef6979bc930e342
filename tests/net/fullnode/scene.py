# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Full nodes without IO for tests: a gatherer with its answers, and a way to ask them."""

from fs_net.core.batch import Outbox
from fs_net.core.matching import match
from fs_net.core.questions import Message, parse_untrusted, serialize
from fs_net.core.records import SignedContent
from fs_net.fullnode.answers import Answers
from fs_net.fullnode.gatherer import Gatherer
from fs_net.fullnode.held import Held
from fs_net.fullnode.sync import Sync
from tests.net.world import NETWORK, NOW, Chain, Provider

FRIEND = b"a friend's peer id"


class Node:
    """The full node of Alice, Bob or Carol; its clock is ``now``."""

    def __init__(self, chain: Chain, name: bytes = b"node") -> None:
        self.chain, self.name, self.now = chain, name, NOW
        self.gatherer = Gatherer(chain, NETWORK)
        self.held = Held(self.gatherer)
        self.answers = Answers(
            self.gatherer,
            self.held,
            lambda wishes, order: match(
                [
                    candidate
                    for record in self.gatherer.index.records
                    if (candidate := self.gatherer.candidate(record.content.provider, self.now))
                ],
                wishes,
                order,
            ),
        )
        self.sync = Sync(self.gatherer, self.held, lambda: self.now)

    def ask(self, peer: bytes, question: Message) -> Message:
        return parse_untrusted(self.answers.answer(peer, serialize(question), self.now))

    def take(self, *said: SignedContent) -> None:
        for data in as_batches(*said):
            self.gatherer.take_batch(FRIEND, data, self.now)

    def records(self) -> set[bytes]:
        return {record.raw for record in self.gatherer.index.records}


def as_batches(*said: SignedContent) -> list[bytes]:
    outbox = Outbox()
    for each in said:
        outbox.add(each)
    return list(outbox.drain())


def as_batch(*said: SignedContent) -> bytes:
    (data,) = as_batches(*said)
    return data


def world(count: int) -> tuple[Chain, list[Provider]]:
    """Make providers, and a chain that lists them."""
    providers = [Provider(number) for number in range(1, count + 1)]
    return Chain({each.address: each.listing() for each in providers}), providers
