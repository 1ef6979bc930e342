# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel market unstake``: the stake back, in two steps."""

import asyncio
import secrets
from pathlib import Path
from typing import Any

import click

from fs_market.core.money.units import format_wait
from fs_tunnel.cli.market import standing
from fs_tunnel.roles.provider.desk import opened_desk


@click.command()
@standing.options
def unstake(**options: Any) -> None:
    """Get your stake back, in two steps.

    The first run requests it and ends the listing at once. Then the unbonding time runs; the
    command shows how long. Run unstake again after it to receive the stake.
    """
    asyncio.run(_unstake(**options))


async def _unstake(*, password_file: Path | None, yes: bool, as_json: bool, **where: Any) -> None:
    async with opened_desk(**where) as desk:
        ready = await desk.stakes.balance_of(desk.owner)
        if desk.staked_by is not None or not ready:
            desk.check_owner()
        now = (await desk.market.chain.head()).timestamp
        if desk.stake.exits_at > now:
            standing.finish(desk, None, standing.waiting(desk), as_json)
            return
        if desk.stake.amount and not desk.stake.exits_at:
            delay = format_wait((await desk.stakes.rules()).exit_delay)
            await desk.ask(
                f"Request the stake of {desk.format(desk.stake.amount)} back. It stops counting at "
                f"once, and can leave in {delay}:",
                ["exit"],
                is_given=yes,
            )
            errands = await desk.staking(password_file)
            done = await errands.request_exit(secrets.token_bytes(16))
            text = f"requested; run the command again in {delay}"
        else:
            steps = ["finish", "withdraw"] if desk.stake.amount else ["withdraw"]
            await desk.ask(
                f"Move {desk.format(desk.stake.amount + ready)} to {desk.owner}:",
                steps,
                is_given=yes,
            )
            errands = await desk.staking(password_file)
            done = await errands.collect(secrets.token_bytes(16))
            text = f"back in the account: {desk.format(done.amount)}"
        standing.finish(desk, done, text, as_json)
