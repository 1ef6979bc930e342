# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel market stake``: add to a provider's stake, or show it."""

import asyncio
import secrets
from pathlib import Path
from typing import Any

import click

from fs_market.core.money.units import format_wait
from fs_market.core.wire.stakes import bind_digest, stakes_domain
from fs_market.errors import ChainError
from fs_market.money.errands import Done
from fs_market.money.staking import missing_for
from fs_tunnel.cli.market import standing
from fs_tunnel.cli.options.params import joined_amount
from fs_tunnel.console.text import counted
from fs_tunnel.roles.provider.desk import Desk, opened_desk
from fs_wire.errors import UsageError


@click.command()
@click.argument("amount", nargs=-1, metavar="[AMOUNT UNIT]")
@standing.options
def stake(amount: tuple[str, ...], **options: Any) -> None:
    """Stake for your provider, or show its stake.

    With an amount, stake adds that much. Without one, it shows the stake, how many clients it
    covers, and when it can leave. If the command is interrupted, run it again: it finishes the same
    payment. Once it has succeeded, running it again adds another amount.
    """
    asyncio.run(_stake(joined_amount(amount) if amount else "", **options))


async def _stake(
    text: str, *, password_file: Path | None, yes: bool, as_json: bool, **where: Any
) -> None:
    done = None
    async with opened_desk(**where) as desk:
        if text:
            if desk.stake.exits_at:
                raise ChainError("the stake is leaving; get it with fs-tunnel market unstake first")
            done = await _add(desk, desk.market.token.parse(text).units, password_file, yes)
    async with opened_desk(**where) as desk:
        if as_json:
            standing.echo_json(desk, done)
            return
        standing.tell(desk, done, "staked" if done else "")
        _tell_stake(desk)


async def _add(desk: Desk, units: int, password_file: Path | None, yes: bool) -> Done:
    least = (await desk.stakes.rules()).minimum_stake
    if units == 0 or desk.stake.amount + units < least:
        raise UsageError(f"the least stake is {desk.format(least)}; name more")
    is_first = desk.staked_by is None
    steps = ["register" if is_first else "add"]
    if await missing_for(desk.stakes, desk.owner, units):
        steps = ["approve", "deposit", *steps]
    covered = (desk.stake.amount + units) // desk.bond
    delay = format_wait((await desk.stakes.rules()).exit_delay)
    await desk.ask(
        f"Stake {desk.format(units)} for the provider {desk.provider}. The stake then covers "
        f"{counted(covered, 'client')}. You get it back {delay} after you ask for it.",
        steps,
        is_given=yes,
    )
    domain = stakes_domain(desk.market.settings.chain_id, desk.stakes.address)
    binding = desk.key.sign_digest(bind_digest(domain, desk.provider, desk.owner))
    errands = await desk.staking(password_file)
    return await errands.stake(units, binding, secrets.token_bytes(16))


def _tell_stake(desk: Desk) -> None:
    if desk.staked_by is None:
        click.echo(f"provider: {desk.provider}\nstake: none; fs-tunnel market stake AMOUNT")
        return
    click.echo(
        f"provider: {desk.provider}\nstake: {desk.format(desk.stake.amount)} of {desk.staked_by}"
    )
    if desk.stake.exits_at:
        click.echo(standing.waiting(desk))
        return
    click.echo(
        f"covers: {counted(desk.slots, 'client')} at a time, at {desk.format(desk.bond)} each"
    )
    listed = counted(desk.entry.offer.slots, "client") if desk.is_announced else "no"
    click.echo(f"announced: {listed}; the settings sell to {desk.sold.clients}")
