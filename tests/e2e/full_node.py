# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A full node of a scene, which gathers records and writes what it knows into a file.

python -m tests.e2e.full_node FOLDER LISTEN MARKET_TOML PROVIDER [BOOTSTRAP...]

``FOLDER/address`` holds its address, and ``FOLDER/told.json`` what it knows of that provider.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from fs_market.chain.chain import Chain
from fs_market.chain.contracts import Registry, StakeBook
from fs_market.core.wire.ethereum import Address
from fs_market.settings import read
from fs_net.core.records import network_id
from fs_net.ports import Listing
from tests.net.gatherer import Gatherer, address_of, full_node
from tests.net.world import Chain as Listings


async def follow(conf: Path, provider: Address, listings: Listings) -> None:
    """Keep the provider's listing up to date with the chain."""
    market = read(conf)
    assert market.registry is not None
    assert market.stakes is not None
    async with Chain(market.rpc, market.chain_id, confirmations=1) as chain:
        registry, stakes = Registry(chain, market.registry), StakeBook(chain, market.stakes)
        while True:
            if not await registry.is_listed(provider):
                listings.listings.pop(provider.raw, None)
            else:
                entry = await registry.entry_of(provider)
                weight = await stakes.weight_of(provider)
                slots = weight // await registry.bond_per_slot()
                listings.listings[provider.raw] = Listing(
                    entry.node_key, entry.heartbeat_key, slots, weight
                )
            await asyncio.sleep(0.5)


def told(gatherer: Gatherer, provider: Address) -> dict[str, Any]:
    entry = gatherer.entry(provider.raw)
    said: dict[str, Any] = {"heartbeats": gatherer.heartbeats}
    if entry is not None:
        record = entry.record.content
        said |= {
            "sales": [str(each) for each in record.sales],
            "endpoints": [str(each) for each in record.endpoints],
            "quote_key": str(Address(record.quote_key)),
            "peer_key": record.peer_key.hex(),
            "country": record.claimed_country.decode(),
            "per_gib": record.price_per_gib,
            "slots": record.slots,
            "free": entry.heartbeat.content.free_slots if entry.heartbeat else None,
        }
    return said


async def main(folder: Path, listen: str, conf: Path, address: str, *bootstrap: str) -> None:
    market, provider, listings = read(conf), Address.parse(address), Listings()
    assert market.registry is not None
    network = network_id(market.chain_id, market.registry.raw)
    gatherer = Gatherer(listings, network)
    async with full_node(folder / "net", gatherer, bootstrap, listen, network) as host:
        following = asyncio.create_task(follow(conf, provider, listings))
        (folder / "address").write_text(await address_of(host))
        while not following.done():
            unfinished = folder / "told.part"
            unfinished.write_text(json.dumps(told(gatherer, provider)))
            unfinished.replace(folder / "told.json")
            await asyncio.sleep(0.1)
        following.result()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), *sys.argv[4:]))
