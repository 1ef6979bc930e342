# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel market stake`` and the rest that a provider stands with on the chain.

The wallet is the owner's, which may be cold. The stake stands under the provider's account, whose
key is the ``key_file`` of its ``market.toml``: there the verbs are to be typed.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fs_market.chain.contracts import Offer
from fs_market.core.money.units import format_wait
from fs_market.core.wire.stakes import bind_digest, stakes_domain
from fs_market.errors import ChainError
from fs_market.money.errands import Done
from fs_market.money.staking import missing_for
from fs_tunnel.cli.options.market_options import (
    password_option,
    settings_options,
    wallet_option,
    yes_option,
)
from fs_tunnel.cli.options.params import joined_amount, json_option
from fs_tunnel.console import amounts
from fs_tunnel.console.amounts import amount_json
from fs_tunnel.console.text import counted
from fs_tunnel.roles.provider.desk import Desk, opened_desk
from fs_wire.errors import UsageError


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (json_option, yes_option, settings_options, password_option, wallet_option):
        command = option(command)
    return command


@click.command()
@click.argument("amount", nargs=-1, metavar="[AMOUNT UNIT]")
@_options
def stake(amount: tuple[str, ...], **options: Any) -> None:
    """Stake for your provider, or show its stake.

    With an amount, stake adds that much. Without one, it shows the stake, how many clients it
    covers, and when it can leave. If the command is interrupted, run it again: it finishes the same
    payment. Once it has succeeded, running it again adds another amount.
    """
    asyncio.run(_stake(joined_amount(amount) if amount else "", **options))


@click.command()
@_options
def announce(**options: Any) -> None:
    """Enter your provider in the on-chain Registry.

    The entry has your price, your number of clients, and the keys that sign what you publish. The
    first run makes the key files. Run announce again after you change the price or the number.
    """
    asyncio.run(_announce(**options))


@click.command("rotate-heartbeat")
@_options
def rotate_heartbeat(**options: Any) -> None:
    """Replace the heartbeat key, if it may have leaked.

    The old key is invalid from then on. Run serve again to use the new one.
    """
    asyncio.run(_rotate(**options))


@click.command()
@_options
def retire(**options: Any) -> None:
    """Remove your provider from the Registry; keep the stake."""
    asyncio.run(_retire(**options))


@click.command()
@_options
def unstake(**options: Any) -> None:
    """Get your stake back, in two steps.

    The first run requests it and ends the listing at once. Then the unbonding time runs; the
    command shows how long. Run unstake again after it to receive the stake.
    """
    asyncio.run(_unstake(**options))


COMMANDS = (stake, announce, rotate_heartbeat, retire, unstake)


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
            _echo_json(desk, done)
            return
        _tell(desk, done, "staked" if done else "")
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
        _finish(desk, done, "announced" if done else "nothing to do: announced already", as_json)


async def _rotate(*, password_file: Path | None, yes: bool, as_json: bool, **where: Any) -> None:
    async with opened_desk(**where) as desk:
        desk.check_owner()
        _check_announced(desk)
        key = bytes(desk.keys.next_heartbeat().verify_key)
        done = None
        if desk.entry.heartbeat_key != key:  # else an earlier command was cut short after that
            await desk.ask("Replace the heartbeat key:", ["rotate"], is_given=yes)
            errands = await desk.staking(password_file)
            done = await errands.rotate(key, secrets.token_bytes(16))
        desk.keys.use_next_heartbeat()
        _finish(desk, done, "replaced; run fs-tunnel serve again to use it", as_json)


async def _retire(*, password_file: Path | None, yes: bool, as_json: bool, **where: Any) -> None:
    async with opened_desk(**where) as desk:
        desk.check_owner()
        _check_announced(desk)
        await desk.ask(f"Take {desk.provider} out of the Registry:", ["retire"], is_given=yes)
        errands = await desk.staking(password_file)
        done = await errands.retire(secrets.token_bytes(16))
        _finish(desk, done, "retired; the stake stays, see fs-tunnel market unstake", as_json)


async def _unstake(*, password_file: Path | None, yes: bool, as_json: bool, **where: Any) -> None:
    async with opened_desk(**where) as desk:
        ready = await desk.stakes.balance_of(desk.owner)
        if desk.staked_by is not None or not ready:
            desk.check_owner()
        now = (await desk.market.chain.head()).timestamp
        if desk.stake.exits_at > now:
            _finish(desk, None, _waiting(desk), as_json)
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
        _finish(desk, done, text, as_json)


def _check_announced(desk: Desk) -> None:
    if not desk.is_announced:
        raise ChainError(f"{desk.provider} is not announced; fs-tunnel market announce first")


def _waiting(desk: Desk) -> str:
    left = format_wait(max(0, desk.stake.exits_at - int(time.time())))
    return f"the stake can leave in {left}; run the command again then"


# What is told.


def _finish(desk: Desk, done: Done | None, text: str, as_json: bool) -> None:
    if as_json:
        _echo_json(desk, done)
    else:
        _tell(desk, done, text)


def _echo_json(desk: Desk, done: Done | None) -> None:
    said = {
        "schema": amounts.SCHEMA,
        "provider": str(desk.provider),
        "owner": str(desk.staked_by) if desk.staked_by else None,
        "stake": amount_json(desk.stake.amount, desk.market.token),
        "slots": desk.slots,
        "exits_at": desk.stake.exits_at or None,
        "transactions": [
            "0x" + each.transaction_hash.hex() for each in (done.receipts if done else ())
        ],
        "gas": done.gas if done else 0,
        "fee": {"wei": str(done.cost), "text": amounts.coin_text(done.cost)} if done else None,
    }
    click.echo(json.dumps(said))


def _tell(desk: Desk, done: Done | None, text: str) -> None:
    if text:
        click.echo(f"provider {desk.provider}: {text}")
    if done:
        click.echo(f"gas: {done.gas}, for {amounts.coin_text(done.cost)} of the chain's coin")


def _tell_stake(desk: Desk) -> None:
    if desk.staked_by is None:
        click.echo(f"provider: {desk.provider}\nstake: none; fs-tunnel market stake AMOUNT")
        return
    click.echo(
        f"provider: {desk.provider}\nstake: {desk.format(desk.stake.amount)} of {desk.staked_by}"
    )
    if desk.stake.exits_at:
        click.echo(_waiting(desk))
        return
    click.echo(
        f"covers: {counted(desk.slots, 'client')} at a time, at {desk.format(desk.bond)} each"
    )
    listed = counted(desk.entry.offer.slots, "client") if desk.is_announced else "no"
    click.echo(f"announced: {listed}; the settings sell to {desk.sold.clients}")
