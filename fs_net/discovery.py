"""A search for providers: several full nodes are asked at once; where none answers, the DHT.

Whom to ask is drawn by lot, so that no full node can arrange to be the one.  Each has its deadline,
and what one says or fails to say holds up no other for longer than that.
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

log = logging.getLogger(__name__)

MOST_ASKED = 5  # full nodes
_FIRST_ASKED = 3  # of those that are named; the DHT names the others
MOST_LOOKED_UP = 256  # providers, in the DHT
_CONNECT_WITHIN = 6.0  # s
_ANSWER_WITHIN = 5.0  # s
_NODE_WITHIN = 15.0  # s for all that one node has to tell
_DHT_WITHIN = 6.0  # s until it has named others, or a record
_DHT_CALL = 3.0  # s
_DHT_ALL = 30.0  # s for the records of all
_AT_ONCE = 8  # records asked for
_PAUSE = 0.25  # s until the DHT is asked again

T = TypeVar("T")


class Chain(Protocol):
    """Asks the chain, for whoever is not to speak with it."""

    async def listings(self, providers: Sequence[bytes]) -> Mapping[bytes, Listing | None]:
        """What it says of each."""
        ...

    async def all_listings(self) -> Mapping[bytes, Listing]:
        """All whose stake counts."""
        ...


class Search:
    """One search with a host that is up; ``names`` tells where each node was reached."""

    def __init__(
        self, host: Host, discovery: Discovery, listings: Listings, chain: Chain, chance: Random
    ) -> None:
        """``discovery`` judges by ``listings``, which learns here what ``chain`` says."""
        self._host, self._discovery, self._chance = host, discovery, chance
        self._listings, self._chain = listings, chain
        self.names: dict[bytes, str] = {}
        self.answered: set[bytes] = set()
        self.failed: dict[str, str] = {}  # by address, why
        self.used_dht = False

    async def run(
        self, named: Sequence[str], *, only_named: bool, tell: Callable[[str], None]
    ) -> None:
        """Ask full nodes at these addresses, and unless ``only_named`` others; or else the DHT.

        NetError where no full node can be reached.
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
        """Look in the DHT for one provider's record; NetError where nobody can be reached."""
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
                    why = "declined" if isinstance(answer, Declined) else "made no sense"
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
        """The node's id; None where it is not reached, or was reached already."""
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
        """Full nodes that the DHT knows of."""
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
        """One node, at the first address that leads to it."""
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
    """Repeat what the DHT, which fills after the first connection, may not know yet."""
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
