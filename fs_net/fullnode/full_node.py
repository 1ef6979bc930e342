# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The shell of a full node: it hears all peers, informs other full nodes, and answers questions.

This module only moves messages and time. The decisions are in ``gatherer``, ``answers``, ``sync``,
``neighbours`` and ``live``.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Self

from fs_net import bridge
from fs_net.bridge import Decision
from fs_net.core import batch
from fs_net.core.questions import Declined, Message, parse_untrusted, serialize
from fs_net.errors import HostFailed, HostGone, HostTimeout, NetError, Refused
from fs_net.fullnode.answers import Answers
from fs_net.fullnode.gatherer import Gatherer
from fs_net.fullnode.held import Held
from fs_net.fullnode.live import LiveCatalogue
from fs_net.fullnode.neighbours import Neighbours
from fs_net.fullnode.store import Store
from fs_net.fullnode.sync import Sync
from fs_net.host import Host
from fs_net.ports import RegistryView
from fs_wire.patience import patient
from fs_wire.ratelimit import RateLimiter

log = logging.getLogger(__name__)

_ASK_RATE, _ASK_BURST = 15.0, 60.0  # questions a second; other full nodes refuse more than 20
_PATIENCE = patient(5.0)  # s to dial


def _now() -> int:
    return time.time_ns() // 10**6


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between repetitions of each task."""

    look: float = 1.0  # look at gathered items, and send them to other full nodes
    write: float = 5.0  # write to the store
    meet: float = 2.0  # check which full nodes are connected, and dial missing ones
    search: float = 60.0  # look for full nodes in the DHT
    compare: float = 60.0  # compare records with each neighbour


class FullNode:
    """The ``Handlers`` of a ``Host``; it runs inside ``async with``."""

    def __init__(
        self,
        settings: bridge.Settings,
        chain: RegistryView,
        store: Store,
        pace: Pace = Pace(),
        clock: Callable[[], int] = _now,
    ) -> None:
        """``settings`` are a full node's, with the topic of ``batch.topic``; ``clock`` gives ms."""
        self._pace, self._clock, self._store = pace, clock, store
        self._chain, self._listed = chain, frozenset[bytes]()
        self._topic = batch.topic(settings.network)
        self.gatherer = Gatherer(chain, settings.network)
        self.catalogue = LiveCatalogue(self.gatherer, store)
        self.neighbours = Neighbours(round(pace.compare * 1000))
        held = Held(self.gatherer)
        self._answers = Answers(self.gatherer, held, self.catalogue.search)
        self._sync = Sync(self.gatherer, held, clock)
        self._asking = RateLimiter(_ASK_RATE, _ASK_BURST)
        self._tasks: list[asyncio.Task[None]] = []
        self.host = Host(settings, self)

    async def __aenter__(self) -> Self:
        """Load the store and listen; raises HostGone or StoreFailed if that fails."""
        now = self._clock()
        for provider, day, shares in await self._store.recent_uptimes(now):
            self.catalogue.uptimes.restore(provider, day, shares, now)
        self.catalogue.restore(await self._store.remembered(), now)
        await self.host.start()
        await self.host.set_listed_keys(self._listed)
        pace = self._pace
        for work, wait in (
            (self._look, pace.look),
            (self._write, pace.write),
            (self._list_keys, pace.look),
            (self._meet, pace.meet),
            (self._dial, pace.meet),
            (self._search, pace.search),
            (self._compare, pace.meet),
        ):
            self._tasks.append(asyncio.create_task(_again(work, wait)))
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.host.close()
        self.catalogue.look(self._clock())

    def on_gossip(self, peer: bytes, topic: str, data: bytes) -> Decision:
        if topic != self._topic:
            return Decision.IGNORE
        return self.gatherer.take_gossip(peer, data, self._clock())

    def on_message(self, peer: bytes, message: bytes) -> None:
        self.gatherer.take_message(peer, message, self._clock())

    async def on_question(self, peer: bytes, question: bytes) -> bytes:
        return self._answers.answer(peer, question, self._clock())

    async def _look(self) -> None:
        """Publish what was gathered, here and to other full nodes; disconnect banned peers."""
        self.catalogue.look(self._clock())
        for data in self.gatherer.batches():
            await self.host.publish(self._topic, data)
        for peer in self.gatherer.banned():
            await self.host.ban(peer)

    async def _write(self) -> None:
        await self._store.flush(self._clock())

    async def _list_keys(self) -> None:
        """Let the DHT store records of providers with a stake only."""
        if (keys := self._chain.node_keys()) != self._listed:
            await self.host.set_listed_keys(keys)
            self._listed = keys

    async def _meet(self) -> None:
        """Note which full nodes are connected, and their addresses."""
        found = await self.host.connected_full_nodes()
        self.neighbours.heard_of(found)
        self.neighbours.see(found)

    async def _dial(self) -> None:
        for peer, addresses in self.neighbours.to_dial(self._clock()):
            if not await self._reach(addresses):
                self.neighbours.failed(peer, self._clock())

    async def _reach(self, addresses: list[str]) -> bool:
        for address in addresses:
            with contextlib.suppress(HostFailed, HostTimeout):
                await self.host.connect(address, _PATIENCE)
                return True
        return False

    async def _search(self) -> None:
        found = await self.host.find_full_nodes()
        found.pop(self.host.peer, None)
        self.neighbours.heard_of(found)

    async def _compare(self) -> None:
        """Exchange missing records with each neighbour whose turn it is."""
        while (peer := self.neighbours.to_compare(self._clock())) is not None:
            self.neighbours.compared(peer, self._clock())
            try:
                outcome = await self._sync.with_peer(peer, partial(self._ask, peer))
            except Refused as refused:
                self.gatherer.blame(peer, refused.reason, self._clock())
                continue
            except (HostFailed, HostTimeout) as error:
                log.debug("a neighbour does not answer: %s", error)
                continue
            if outcome.fetched or outcome.delivered:
                log.info("records: %d fetched, %d delivered", outcome.fetched, outcome.delivered)

    async def _ask(self, peer: bytes, question: Message) -> Message:
        while not self._asking.allow(peer, time.monotonic()):  # noqa: ASYNC110 - it is time
            await asyncio.sleep(1 / _ASK_RATE)
        answer = parse_untrusted(await self.host.ask(peer, serialize(question)))
        if isinstance(answer, Declined):
            raise HostFailed("a neighbour declines to answer; the full node asks it again later")
        return answer


async def _again(work: Callable[[], Awaitable[None]], wait: float) -> None:
    """Repeat ``work`` for ever; after an error, simply try again in its turn."""
    while True:
        try:
            await work()
        except HostGone as error:
            log.debug("%s", error)
        except NetError as error:
            log.warning("%s", error)
        await asyncio.sleep(wait)
