# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A search for providers: it asks several full nodes at once, and the DHT if none of them answers.

The search draws the full nodes at random, so that no full node can arrange to be asked. Each has
its own deadline, so a slow full node delays the others no longer than that.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Protocol, TypeVar

from fs_net.core.discovery import Discovery, Listings, providers_of
from fs_net.core.questions import Declined, Found, parse_untrusted, serialize
from fs_net.errors import HostFailed, HostTimeout, NetError, Refused
from fs_net.host import Host
from fs_net.ports import Listing
from fs_wire.patience import patient

log = logging.getLogger(__name__)

MOST_ASKED = 5  # full nodes
_FIRST_ASKED = 3  # full nodes from the caller's list; the DHT names the others
MOST_LOOKED_UP = 256  # providers, in the DHT
_CONNECT_WITHIN = patient(6.0)  # s
_ANSWER_WITHIN = patient(5.0)  # s
_NODE_WITHIN = patient(15.0)  # s for all answers of one full node
_DHT_WITHIN = patient(6.0)  # s for the DHT to name full nodes, or to return a record
_DHT_CALL = patient(3.0)  # s
_DHT_ALL = patient(30.0)  # s for the records of all providers
_AT_ONCE = 8  # records that are looked up in parallel
_PAUSE = 0.25  # s between two questions to the DHT

T = TypeVar("T")


class Chain(Protocol):
    """Reads listings from the chain, for a search that may not speak to a chain node itself."""

    async def listings(self, providers: Sequence[bytes]) -> Mapping[bytes, Listing | None]:
        """Return the listing of each provider, or None if the chain lists none."""
        ...

    async def all_listings(self) -> Mapping[bytes, Listing]:
        """Return the listings of all providers whose stake counts."""
        ...


class Search:
    """One search over a running host; ``names`` maps each full node to its address."""

    def __init__(
        self, host: Host, discovery: Discovery, listings: Listings, chain: Chain, chance: Random
    ) -> None:
        """``discovery`` judges by ``listings``, and the search adds to it what ``chain`` says."""
        self._host, self._discovery, self._chance = host, discovery, chance
        self._listings, self._chain = listings, chain
        self.names: dict[bytes, str] = {}
        self.answered: set[bytes] = set()
        self.failed: dict[str, str] = {}  # address: why it failed
        self.used_dht = False

    async def run(
        self, named: Sequence[str], *, only_named: bool, tell: Callable[[str], None]
    ) -> None:
        """Ask the full nodes at these addresses; if none answers, look in the DHT.

        Unless ``only_named`` is set, the search also asks full nodes that the DHT names. Raises
        NetError if no full node can be reached.
        """
        tell(f"asking {len(named)} full node{'s' * (len(named) != 1)}")
        most = MOST_ASKED if only_named else _FIRST_ASKED
        asking = [self._ask(each) for each in self._draw(named, most)]
        if only_named or len(asking) >= MOST_ASKED:
            await asyncio.gather(*asking)
        else:
            await asyncio.gather(*asking, self._ask_others())
        if self.answered:
            return
        if not self.names:
            raise NetError(
                "no full node can be reached ("
                + "; ".join(f"{where}: {why}" for where, why in self.failed.items())
                + "); check the network, or name another with --full-node"
            )
        tell("no full node answers; looking in the DHT")
        self.used_dht = True
        await self._look_up_all()

    async def find(self, provider: bytes, named: Sequence[str]) -> None:
        """Look up one provider's record in the DHT; NetError if no full node can be reached."""
        await asyncio.gather(*(self._connect(each) for each in self._draw(named, MOST_ASKED)))
        if not self.names:
            raise NetError("no full node can be reached; name another with --full-node")
        self.used_dht = True
        self._listings.learn(await self._chain.listings([provider]))
        listing = self._listings.listing(provider)
        if listing is not None:
            await _until(lambda: self._look_up(listing), _DHT_WITHIN)

    # Full nodes.

    async def _ask(self, address: str) -> None:
        node = await self._connect(address)
        if node is None:
            return
        give_up = _now() + _NODE_WITHIN
        try:
            while _now() < give_up:
                question = self._discovery.question(node, _unix_ms())
                if question is None:
                    break
                raw = await self._host.ask(node, serialize(question), _ANSWER_WITHIN)
                answer = parse_untrusted(raw)
                if not isinstance(answer, Found):
                    is_declined = isinstance(answer, Declined)
                    why = "it declined to answer" if is_declined else "its answer made no sense"
                    self.failed[address] = why
                    return
                unknown = self._listings.unknown(providers_of(answer))
                if unknown:
                    self._listings.learn(await self._chain.listings(unknown))
                self._discovery.take(node, answer, _unix_ms())
                self.answered.add(node)
        except (HostFailed, HostTimeout, Refused) as error:
            self.failed[address] = str(error)

    async def _connect(self, address: str) -> bytes | None:
        """Return the full node's id, or None if it cannot be reached or was reached already."""
        try:
            node = await self._host.connect(address, _CONNECT_WITHIN)
        except (HostFailed, HostTimeout) as error:
            self.failed[address] = str(error)
            return None
        if node in self.names:
            return None
        self.names[node] = address
        return node

    async def _ask_others(self) -> None:
        """Ask full nodes that the DHT knows."""
        found: dict[bytes, list[str]] = {}

        async def look() -> bool:
            found.update(await self._host.find_full_nodes(_DHT_CALL))
            return any(each not in self.names for each in found)

        if not await _until(look, _DHT_WITHIN):
            return
        others = [addresses for node, addresses in found.items() if node not in self.names]
        room = MOST_ASKED - len(self.names)
        await asyncio.gather(*(self._ask_at(each) for each in self._draw(others, room)))

    async def _ask_at(self, addresses: Sequence[str]) -> None:
        """Ask one full node at the first of its addresses that works."""
        before = len(self.names)
        for address in addresses[:4]:
            await self._ask(address)
            if len(self.names) > before:
                return

    # The DHT.

    async def _look_up_all(self) -> None:
        listed = await self._chain.all_listings()
        self._listings.learn(listed)
        drawn = self._draw(list(listed.values()), MOST_LOOKED_UP)
        gate = asyncio.Semaphore(_AT_ONCE)

        async def look_up(listing: Listing) -> None:
            async with gate:
                with contextlib.suppress(HostFailed, HostTimeout):
                    await self._look_up(listing)

        async def is_joined() -> bool:
            return bool((await self._host.info())["dht"])

        await _until(is_joined, _DHT_WITHIN)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DHT_ALL):
                await asyncio.gather(*map(look_up, drawn))

    async def _look_up(self, listing: Listing) -> bool:
        raw = await self._host.get_record(listing.node_key, _DHT_CALL)
        if raw is not None:
            self._discovery.take_record(raw, _unix_ms())
        return raw is not None

    def _draw(self, several: Sequence[T], most: int) -> list[T]:
        return self._chance.sample(several, min(len(several), most))


async def _until(look: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Repeat ``look`` until it succeeds: the DHT fills up only after the first connection."""
    give_up = _now() + seconds
    while True:
        try:
            if await look():
                return True
        except (HostFailed, HostTimeout) as error:
            log.debug("the DHT: %s", error)
        if _now() >= give_up:
            return False
        await asyncio.sleep(_PAUSE)


def _now() -> float:
    return time.monotonic()


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000
