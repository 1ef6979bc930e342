# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel market announce``: the provider's entry in the Registry."""

import asyncio
import secrets
from pathlib import Path
from typing import Any

import click

from fs_market.chain.contracts import Offer
from fs_market.errors import ChainError
from fs_tunnel.cli.market import standing
from fs_tunnel.console.text import counted
from fs_tunnel.roles.provider.desk import opened_desk


@click.command()
@standing.options
def announce(**options: Any) -> None:
    """Enter your provider in the on-chain Registry.

    The entry has your price, your number of clients, and the keys that sign what you publish. The
    first run makes the key files. Run announce again after you change the price or the number.
    """
    asyncio.run(_announce(**options))


async def _announce(*, password_file: Path | None, yes: bool, as_json: bool, **where: Any) -> None:
    async with opened_desk(**where) as desk:
        desk.check_owner()
        sold = desk.sold
        if desk.slots < sold.clients:
            missing = desk.format(sold.clients * desk.bond - desk.stake.amount)
            raise ChainError(
                f"{sold.clients} clients need {desk.format(sold.clients * desk.bond)} of stake; "
                f"fs-tunnel market stake {missing}, or write clients = {desk.slots}"
            )
        keys = desk.keys.make()
        node_key, heartbeat_key = (bytes(each.verify_key) for each in (keys.node, keys.heartbeat))
        offered = Offer(sold.clients, sold.price_in(desk.market.token).list_digest)
        said = (desk.provider, node_key, heartbeat_key, offered)
        entry = desk.entry
        is_said = (entry.payout, entry.node_key, entry.heartbeat_key, entry.offer) == said
        done = None
        if not desk.is_announced or not is_said:
            await desk.ask(
                f"Announce {counted(sold.clients, 'client')} for {sold.price}, "
                f"paid to {desk.provider}:",
                ["announce"],
                is_given=yes,
            )
            errands = await desk.staking(password_file)
            done = await errands.announce(*said, secrets.token_bytes(16))
        standing.finish(
            desk, done, "announced" if done else "nothing to do: announced already", as_json
        )
