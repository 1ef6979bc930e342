# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A minimal full node: it answers with what it was given, whether true or not."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fs_net.bridge import Decision, Settings
from fs_net.core.index import Index
from fs_net.core.judge import Judge
from fs_net.core.matching import Candidate, match
from fs_net.core.questions import (
    MAX_FOUND,
    UNMEASURED,
    Find,
    Found,
    Hit,
    declined,
    parse_untrusted,
    serialize,
)
from fs_net.errors import Reason
from fs_net.host import Host
from fs_net.ports import ChainView
from tests.net.world import NETWORK

LISTEN = ("/ip4/127.0.0.1/tcp/0",)
Lie = Callable[[list[Hit]], list[Hit]]


def truth(hits: list[Hit]) -> list[Hit]:
    return hits


class FullNode:
    """Judges what it is given, and ranks it for each question."""

    def __init__(self, chain: ChainView, clock: Callable[[], int], network: bytes) -> None:
        self.judge = Judge(Index(), chain, network)
        self.uptimes: dict[bytes, int] = {}
        self.asked: list[Find] = []
        self.lie: Lie = truth
        self.declines = False
        self._chain, self._clock = chain, clock

    def give(self, records: Sequence[bytes], heartbeats: Sequence[bytes]) -> None:
        now = self._clock()
        assert all(self.judge.record(b"", each, now).said for each in records)
        assert all(self.judge.heartbeat(b"", each, now).said for each in heartbeats)

    def on_gossip(self, peer: bytes, topic: str, data: bytes) -> Decision:
        return Decision.IGNORE

    def on_message(self, peer: bytes, message: bytes) -> None: ...

    async def on_question(self, peer: bytes, question: bytes) -> bytes:
        asked = parse_untrusted(question)
        if self.declines or not isinstance(asked, Find):
            return serialize(declined(Reason.RATE_LIMITED))
        self.asked.append(asked)
        return serialize(self.answer(asked))

    def answer(self, asked: Find) -> Found:
        hits = []
        for found in match(self._candidates(), asked.wishes, asked.order):
            entry, uptime = found.candidate.entry, found.candidate.uptime
            heartbeat = entry.heartbeat.raw if entry.heartbeat else b""
            hits.append(Hit(entry.record.raw, heartbeat, UNMEASURED if uptime is None else uptime))
        hits = self.lie(hits)
        return Found(tuple(hits[asked.skip :][:MAX_FOUND]), len(hits))

    def _candidates(self) -> list[Candidate]:
        return [
            Candidate(entry, listing, self.uptimes.get(provider))
            for entry in self.judge.index.entries(self._clock())
            if (listing := self._chain.listing(provider := entry.record.content.provider))
        ]


@asynccontextmanager
async def serving(
    folder: Path,
    node: FullNode,
    *,
    network: bytes = NETWORK,
    bootstrap: Sequence[str] = (),
    listen: tuple[str, ...] = LISTEN,
) -> AsyncIterator[tuple[Host, str]]:
    """Run the full node as a peer; yield its host and its address."""
    settings = Settings(
        str(folder), network, listen, tuple(bootstrap), is_full_node=True, max_connections=50
    )
    host = Host(settings, node)
    await host.start()
    try:
        addresses: list[str] = (await host.info())["addresses"]
        yield host, addresses[0]
    finally:
        await host.close()
