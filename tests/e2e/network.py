# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``python -m tests.e2e.network SCENE.json``: the network of a scene, until it is killed.

It stakes and announces the providers of the scene, runs its full nodes, and gives them records and
heartbeats. It writes the addresses of the full nodes into ``addresses.json`` beside the scene.
"""

import asyncio
import json
import secrets
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey as Ed25519

from fs_market.chain.chain import Chain
from fs_market.chain.contracts import Erc20, Offer, Registry, StakeBook
from fs_market.chain.sender import Patience, Sender
from fs_market.core.wire.signatures import SigningKey
from fs_market.journal import Journal
from fs_market.money.wallet import Wallet, parse_secret
from fs_market.settings import MarketSettings, read
from fs_net.core.announcer import Announcer, Keys
from fs_net.core.questions import Hit
from fs_net.core.records import ProviderRecord, Service, network_id
from fs_net.ports import Listing
from fs_wire.types import Endpoint, PublicKey
from tests.net.answering import FullNode, Lie, serving, truth
from tests.net.world import Chain as Listed

_STAKE, _SLOTS = 500 * 10**6, 50
_LIVE_FOR = 3600_000  # ms
_OLD = 300_000  # ms


def hide(hits: list[Hit]) -> list[Hit]:
    return []


LIES: dict[str, Lie] = {"truth": truth, "hide": hide}


class Announced:
    """A provider whose stake is on the chain."""

    def __init__(self, said: dict[str, Any], network: bytes) -> None:
        self.wallet = Wallet(_secret(said["key_file"]))
        self.address = self.wallet.address
        self.keys = Keys(Ed25519(secrets.token_bytes(32)), Ed25519(secrets.token_bytes(32)))
        self._announcer = Announcer(self.keys, network)
        self.record = self._announcer.record(
            ProviderRecord(
                provider=self.address.raw,
                sequence=0,
                expires_at=0,
                endpoints=(Endpoint.parse(said["endpoint"]),),
                sales=(Endpoint.parse(said["sales"]),),
                wireguard_key=PublicKey.from_base64(said["wireguard_key"]),
                peer_key=secrets.token_bytes(32),
                quote_key=SigningKey(_secret(said["node_key_file"])).address.raw,
                price_per_gib=said["per_gib"],
                price_per_hour=0,
                slots=_SLOTS,
                claimed_country=said["country"].encode(),
                services=Service.EXIT,
            ),
            _LIVE_FOR,
            _now() - _OLD,
        ).raw

    def heartbeat(self) -> bytes:
        return self._announcer.heartbeat(self.address.raw, _SLOTS - 1, _now()).raw

    async def stake(self, chain: Chain, settings: MarketSettings, folder: Path) -> None:
        assert settings.registry and settings.stakes
        journal_file = folder / f"{self.address}.stake.journal"
        coin, stakes = Erc20(chain, settings.token), StakeBook(chain, settings.stakes)
        registry = Registry(chain, settings.registry)
        node, heartbeat = (bytes(each.verify_key) for each in (self.keys.node, self.keys.heartbeat))
        async with Journal(journal_file, chain.genesis) as journal:
            sender = Sender(chain, journal, self.wallet, settings.fees, Patience(poll=0.05))
            for name, call in (
                ("approve", coin.approve(settings.stakes, _STAKE)),
                ("deposit", stakes.deposit(_STAKE)),
                ("stake", stakes.register(self.address, _STAKE)),
                (
                    "announce",
                    registry.announce(
                        self.address, self.address, node, heartbeat, Offer(_SLOTS, b"\x01" * 32)
                    ),
                ),
            ):
                await sender.carry_out(name, call)

    @property
    def listing(self) -> Listing:
        node, heartbeat = (bytes(each.verify_key) for each in (self.keys.node, self.keys.heartbeat))
        return Listing(node, heartbeat, _SLOTS, _STAKE)


async def main(scene: Path, said: dict[str, Any], settings: MarketSettings) -> None:
    assert settings.registry is not None
    network = network_id(settings.chain_id, settings.registry.raw)
    providers = [Announced(each, network) for each in said["providers"]]
    async with (
        AsyncExitStack() as stack,
        Chain(settings.rpc, settings.chain_id, confirmations=1) as chain,
    ):
        for each in providers:
            await each.stake(chain, settings, scene.parent)
        listed = Listed({each.address.raw: each.listing for each in providers})
        nodes: list[FullNode] = []
        addresses: list[str] = []
        for number, kind in enumerate(said["full_nodes"]):
            node = FullNode(listed, _now, network)
            node.lie = LIES[kind]
            node.give([each.record for each in providers], [])
            host, address = await stack.enter_async_context(
                serving(
                    scene.parent / f"full-node-{number}",
                    node,
                    network=network,
                    bootstrap=addresses[:1],
                    listen=(f"/ip4/{said['address']}/tcp/0",),
                )
            )
            nodes.append(node)
            addresses.append(address)
        for each in providers:
            key = bytes(each.keys.node.verify_key)
            while await host.get_record(key, 3) is None:
                await host.put_record(key, each.record, 3)
        await _beat(nodes, providers, scene, addresses)


async def _beat(
    nodes: Sequence[FullNode], providers: Sequence[Announced], scene: Path, addresses: list[str]
) -> None:
    while True:
        heartbeats = [each.heartbeat() for each in providers]
        for node in nodes:
            node.give([], heartbeats)
        if addresses:
            unfinished = scene.with_name("addresses.tmp")
            unfinished.write_text(json.dumps(addresses))
            unfinished.rename(scene.with_name("addresses.json"))
        await asyncio.sleep(2)


def _secret(path: str) -> bytes:
    return parse_secret(Path(path).read_text().strip())


def _now() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    place = Path(sys.argv[1])
    told = json.loads(place.read_text())
    asyncio.run(main(place, told, read(Path(told["settings"]))))
