# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What the Registry and the StakeBook say about providers, from final blocks, kept in memory.

Events tell whose listing may have changed, and the new listing is then asked for. So each provider
costs three questions, however long the history of the contracts is.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fs_market.chain.answers import Log
from fs_market.chain.chain import Chain
from fs_market.chain.contracts import Registry, StakeBook
from fs_market.chain.follower import Follower
from fs_market.core.wire.ethereum import Address
from fs_market.errors import ChainError, DeepReorg
from fs_market.settings import MarketSettings
from fs_net.core.records import network_id
from fs_net.ports import Listing
from fs_wire.errors import UsageError

log = logging.getLogger(__name__)

_REGISTRY_EVENTS = "Announced", "Offered", "HeartbeatRotated", "Retired"
_STAKE_EVENTS = "Registered", "Added", "ExitRequested", "Exited", "Slashed"
_AT_ONCE = 16  # questions to the chain node
_POLL = 5.0  # s


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the chain was read, in block numbers."""

    block: int
    last: int


def _nobody(_: Progress) -> None:
    """For a caller that does not show the progress."""


class ChainListings:
    """A ``fs_net.ports.RegistryView``.

    ``look_up`` reads the listings of single providers. ``refresh`` reads all listings, and later
    only the changed ones. If they raise ChainError, as ``Chain`` does, the listings stay as they
    were.
    """

    def __init__(self, chain: Chain, settings: MarketSettings) -> None:
        """UsageError if the settings lack ``registry`` or ``stakes``."""
        if settings.registry is None or settings.stakes is None:
            raise UsageError("the settings lack registry or stakes; add both to [contracts]")
        self.network = network_id(settings.chain_id, settings.registry.raw)
        self._chain, self._first = chain, settings.since
        self._registry = Registry(chain, settings.registry)
        self._stakes = StakeBook(chain, settings.stakes)
        self._listings: dict[bytes, Listing] = {}
        self._changed: set[bytes] = set()  # providers whose listing must be asked for
        self._follower: Follower | None = None

    def __len__(self) -> int:
        return len(self._listings)

    def listing(self, provider: bytes) -> Listing | None:
        """The listing as it was last read; None if it was not read, or if there is none."""
        return self._listings.get(provider)

    def all(self) -> Mapping[bytes, Listing]:
        """The listing of each provider, as it was last read."""
        return self._listings

    def node_keys(self) -> frozenset[bytes]:
        """The node keys of all listed providers, 32 bytes each."""
        return frozenset(each.node_key for each in self._listings.values())

    async def look_up(self, provider: bytes) -> Listing | None:
        """Ask the chain for the provider with this account of 20 bytes, and keep the answer."""
        await self._ask([provider], await self._final())
        return self.listing(provider)

    async def refresh(self, tell: Callable[[Progress], None] = _nobody) -> None:
        """Read on to the last final block. The first time, begin where the contracts begin."""
        last = await self._final()
        if last < 0:
            return
        try:
            follower = self._follower or await self._begin()
            self._follower = follower
            while True:
                before = follower.base.number
                changes = await follower.poll()
                self._changed.update(map(self._provider_of, changes.final))
                tell(Progress(follower.base.number, last))
                if not before < follower.base.number < last:
                    break
        except DeepReorg:
            # The listings may be from blocks that are gone, so ask for all of them again.
            self._follower = None
            self._changed.update(self._listings)
            raise
        await self._ask(self._changed.copy(), follower.base.number)

    async def follow(self, poll: float = _POLL) -> None:
        """Refresh again and again. If the chain node fails, the listings stay as they were."""
        while True:
            await asyncio.sleep(poll)
            try:
                await self.refresh()
            except ChainError as error:
                log.warning("stakes stay as they were: %s", error)

    async def _begin(self) -> Follower:
        base = await self._chain.block(self._first - 1)
        if base is None:
            raise ChainError("the chain has no block before since; mend since in [contracts]")
        topics = [self._registry.topic(each) for each in _REGISTRY_EVENTS]
        topics += [self._stakes.topic(each) for each in _STAKE_EVENTS]
        return Follower(self._chain, [self._registry.address, self._stakes.address], topics, base)

    def _provider_of(self, said: Log) -> bytes:
        contract = self._registry if said.address == self._registry.address else self._stakes
        args = contract.event(said).args
        provider: Address = args["provider"] if contract is self._registry else args["key"]
        return provider.raw

    async def _final(self) -> int:
        return (await self._chain.head()).number - self._chain.confirmations + 1

    async def _ask(self, providers: Iterable[bytes], block: int) -> None:
        async def ask(provider: bytes) -> None:
            found = await self._read(Address(provider), block)
            self._changed.discard(provider)
            if found is None:
                self._listings.pop(provider, None)
            else:
                self._listings[provider] = found

        wanted = list(providers)
        for first in range(0, len(wanted), _AT_ONCE):
            await asyncio.gather(*map(ask, wanted[first : first + _AT_ONCE]))

    async def _read(self, provider: Address, block: int) -> Listing | None:
        if block < 0 or not await self._registry.is_listed(provider, block):
            return None
        entry = await self._registry.entry_of(provider, block)
        stake = await self._stakes.weight_of(provider, block)
        return Listing(entry.node_key, entry.heartbeat_key, entry.offer.slots, stake)
