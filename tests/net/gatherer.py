# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A full node as a provider sees it: a judge and an index behind a network process."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fs_net.bridge import Decision, Settings
from fs_net.core import questions
from fs_net.core.batch import take_untrusted
from fs_net.core.index import Entry, Index
from fs_net.core.judge import Judge
from fs_net.errors import Reason
from fs_net.host import Host
from fs_net.ports import ChainView
from tests.net.world import NETWORK


def unix_ms() -> int:
    return time.time_ns() // 1_000_000


class Gatherer:
    """Takes deliveries and heartbeats."""

    def __init__(self, chain: ChainView, network: bytes = NETWORK) -> None:
        self.index = Index()
        self.judge = Judge(self.index, chain, network)
        self.heartbeats = 0

    def entry(self, provider: bytes) -> Entry | None:
        return self.index.entry(provider, unix_ms())

    def on_gossip(self, peer: bytes, topic: str, data: bytes) -> Decision:
        return Decision.IGNORE

    def on_message(self, peer: bytes, message: bytes) -> None:
        if self.judge.heartbeat(peer, message, unix_ms()).said:
            self.heartbeats += 1

    async def on_question(self, peer: bytes, question: bytes) -> bytes:
        asked = questions.parse_untrusted(question)
        if not isinstance(asked, questions.Deliver):
            return questions.serialize(questions.declined(Reason.VERSION))
        reasons = take_untrusted(self.judge, peer, asked.batch, unix_ms())
        return questions.serialize(questions.Delivered.of(reasons))


@asynccontextmanager
async def full_node(
    folder: Path,
    gatherer: Gatherer,
    bootstrap: tuple[str, ...] = (),
    listen: str = "/ip4/127.0.0.1/tcp/0",
    network: bytes = NETWORK,
) -> AsyncIterator[Host]:
    settings = Settings(str(folder), network, (listen,), bootstrap, is_full_node=True)
    host = Host(settings, gatherer)
    await host.start()
    try:
        yield host
    finally:
        await host.close()


async def address_of(host: Host) -> str:
    addresses: list[str] = (await host.info())["addresses"]
    return addresses[0]
