# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A market in which each party has its own namespace, linked to one router.

internet  203.0.113.80, chain and web, and the router
  192.0.2.0/24      full nodes, a /28 each
  198.51.100.0/24   providers, a /28 each
  203.0.113.0/28    the client
"""

import asyncio
import contextlib
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from fs_market.chain.chain import Chain
from fs_market.chain.contracts import Erc20
from fs_market.chain.sender import Patience, Sender
from fs_market.chain.transactions import Call
from fs_market.core.wire.ethereum import Address
from fs_market.journal import Journal
from fs_market.money.wallet import write_once
from fs_market.settings import read
from tests.e2e.market import (
    WEB,
    Market,
    account_of,
    make_keystore,
    start_chain,
    start_web,
    symbol_of,
)
from tests.netns.topology import Namespace, Topology

COIN, TOKENS = 10**18, 1_000 * 10**6
FULL_NODES, PROVIDERS, CLIENT = "192.0.2", "198.51.100", "203.0.113"


@contextlib.contextmanager
def backbone() -> Iterator[Market]:
    """Make the router, a chain, a web server and the client; everything ends with the block."""
    with tempfile.TemporaryDirectory(prefix="fs-e2e-") as made, Topology() as topology:
        folder = Path(made)
        folder.chmod(0o711)  # the agents' books are in it
        internet = topology.namespace("inet")
        internet.ip("address", "add", f"{WEB}/32", "dev", "lo")
        internet.sysctl("net/ipv4/ip_forward", 1)
        scene = Market(topology, internet, internet, internet, folder, "10")
        client, _ = joined(scene, "cli", CLIENT, 0)
        scene.client = client
        start_chain(scene)
        start_web(scene)
        scene.symbol = symbol_of(scene)
        yield scene


def joined(scene: Market, role: str, network: str, number: int) -> tuple[Namespace, str]:
    """Make a namespace with its own link to the router; return it and its address."""
    namespace = scene.topology.namespace(role)
    router, address = f"{network}.{16 * number + 1}", f"{network}.{16 * number + 2}"
    scene.topology.link(
        *(namespace, "eth0", [f"{address}/28"]),
        *(scene.internet, f"{role}{number}", [f"{router}/28"]),
    )
    namespace.ip("route", "add", "default", "via", router)
    return namespace, address


def host_of(scene: Market, where: Namespace, name: str) -> Market:
    """Return the same market on a separate host, whose files no other host's commands see."""
    folder = scene.folder / name
    folder.mkdir()
    own = {f"FS_TUNNEL_{each.upper()}_DIR": str(folder / each) for each in ("state", "run")}
    return replace(scene, provider=where, extra={**scene.extra, **own})


def open_accounts(scene: Market, names: Sequence[str]) -> None:
    """Make accounts with coin and tokens; their keys are beside the keys of the chain."""
    for name in names:
        secret = secrets.token_bytes(32)
        write_once(scene.folder / "chain" / f"{name}.key", secret.hex().encode() + b"\n")
        make_keystore(scene, name)
    wallets = [account_of(scene, each).address for each in names]
    with scene.internet.entered():
        asyncio.run(_fund(scene, wallets))


async def _fund(scene: Market, accounts: Sequence[Address]) -> None:
    settings = read(scene.settings)
    async with (
        Chain(settings.rpc, settings.chain_id, confirmations=1) as chain,
        Journal(scene.folder / "funds.journal", chain.genesis) as journal,
    ):
        rich = account_of(scene, "deployer")
        sender = Sender(chain, journal, rich, settings.fees, Patience(poll=0.05))
        coin = Erc20(chain, settings.token)
        for each in accounts:
            await sender.carry_out(f"coin:{each}", Call(each, value=COIN))
            await sender.carry_out(f"tokens:{each}", coin.mint(each, TOKENS))
