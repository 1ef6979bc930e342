# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel market``: providers and their prices, and the channels of a wallet."""

import asyncio
import json
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import click

from fs_market.chain.contracts import Registry
from fs_market.chain.sender import Patience, Sender
from fs_market.core.money.prices import Price
from fs_market.core.money.units import Token, format_bytes, format_seconds, format_wait
from fs_market.core.wire.channels import channels_domain
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.messages import Quote
from fs_market.errors import ChainError
from fs_market.money import voucher_book
from fs_market.money import wallet as keystores
from fs_market.money.settlement import Closing, close_by_payer
from fs_market.money.voucher_book import Account, Side
from fs_market.session.quoting import ask_for_quote
from fs_market.session.stream import TcpRoute
from fs_net.core.matching import Order
from fs_tunnel.cli.market import staking
from fs_tunnel.cli.market.prepay import prepay
from fs_tunnel.cli.options.market_options import (
    MARKET_USER,
    password_option,
    settings_options,
    wallet_option,
    wishes_options,
    yes_option,
)
from fs_tunnel.cli.options.params import json_option
from fs_tunnel.console import amounts, questions
from fs_tunnel.console.amounts import amount_json
from fs_tunnel.console.text import align, counted, tell_progress, warn
from fs_tunnel.roles import open_market
from fs_tunnel.roles.client import finding, offers
from fs_tunnel.roles.client.providers import parse_provider
from fs_tunnel.roles.client.wishes import make_wishes, parse_price
from fs_tunnel.roles.open_market import Market
from fs_wire.errors import UsageError

_PATIENCE = Patience(poll=0.5)
_SPAN = 1000  # blocks in one question: nodes bound it


@click.group()
def market() -> None:
    """Find providers, manage purchases, or become a provider."""


for _command in (prepay, *staking.COMMANDS):
    market.add_command(_command)


@market.command("list")
@wishes_options
@click.option(
    "--free",
    type=click.IntRange(0, 10_000),
    default=1,
    show_default=True,
    help="Least number of free places; 0 also lists providers that are offline.",
)
@click.option(
    "--chain", "is_of_chain", is_flag=True, help="List what the chain has; ask no full node."
)
@click.option(
    "--blocks",
    type=click.IntRange(1, 10_000_000),
    default=100_000,
    show_default=True,
    help="With --chain: how many blocks back to look for providers.",
)
@MARKET_USER
@wallet_option
@settings_options
@json_option
def list_(is_of_chain: bool, blocks: int, **options: Any) -> None:
    """List the providers that match, the best first.

    list asks several full nodes, checks what they say against the chain, and warns if they
    disagree. The full nodes see your IP address and what you are looking for.
    """
    if is_of_chain:
        where = ("wallet_file", "settings_file", "rpc", "as_json")
        asyncio.run(_list_chain(blocks, **{each: options[each] for each in where}))
    else:
        asyncio.run(_list(**options))


@market.command()
@click.argument("provider", metavar="HOST:PORT|FILE")
@wallet_option
@settings_options
@json_option
def quote(provider: str, **options: Any) -> None:
    """Ask a provider for its price; buy nothing."""
    asyncio.run(_quote(provider, **options))


@market.command()
@wallet_option
@settings_options
@json_option
def orders(**options: Any) -> None:
    """List the wallet's payment channels that may be open."""
    asyncio.run(_orders(**options))


@market.command()
@wallet_option
@password_option
@settings_options
@yes_option
@json_option
def settle(password_file: Path | None, yes: bool, **options: Any) -> None:
    """Reclaim money from channels the provider left open.

    The first run requests the close. The provider then has a waiting period, the close window, to
    claim what you owe. Run settle again after it to get the rest back. settle also ends tunnels
    that are in use, and prepaid places.
    """
    asyncio.run(_settle(password_file, yes, **options))


def _opened(
    wallet_file: Path | None, settings_file: Path | None, rpc: str | None
) -> AbstractAsyncContextManager[Market]:
    return open_market.opened(settings_file, rpc, wallet_file or open_market.default_wallet())


async def _list(
    *,
    countries: tuple[bytes, ...],
    max_price: str | None,
    min_uptime: int,
    services: tuple[str, ...],
    ports: tuple[int, ...],
    free: int,
    order: str,
    full_nodes: tuple[str, ...],
    market_user: int,
    as_json: bool,
    settings_file: Path | None,
    **where: Any,
) -> None:
    async with _opened(settings_file=settings_file, **where) as found:
        price = parse_price(max_price, found.token) if max_price else None
        wishes = make_wishes(countries, price, min_uptime, services, ports, free)
        query = finding.Query(wishes, Order(order), full_nodes)
        listed = await finding.search(
            query, found.chain, found.settings, settings_file, market_user, tell_progress
        )
    for each in offers.oddities(listed):
        warn(each)
    if as_json:
        click.echo(json.dumps({"schema": amounts.SCHEMA, **offers.to_json(listed, found.token)}))
        return
    if not listed.matches:
        click.echo("no provider matches")
        return
    click.echo(offers.table(listed.matches, found.token))


async def _list_chain(blocks: int, *, as_json: bool, **where: Any) -> None:
    async with _opened(**where) as found:
        if found.settings.registry is None:
            raise UsageError("the settings name no registry; add its address to [contracts]")
        registry = Registry(found.chain, found.settings.registry)
        head = (await found.chain.head()).number
        providers: dict[Address, None] = {}
        for first in range(max(0, head - blocks + 1), head + 1, _SPAN):
            last = min(head, first + _SPAN - 1)
            topics = [registry.topic("Announced")]
            for log in await found.chain.logs(first, last, [registry.address], topics):
                providers[registry.event(log).args["provider"]] = None
        rows = [
            (provider, await registry.entry_of(provider))
            for provider in providers
            if await registry.is_listed(provider)
        ]
    if as_json:
        said = [
            {
                "provider": str(provider),
                "payout": str(entry.payout),
                "node_key": entry.node_key.hex(),
                "slots": entry.offer.slots,
                "price_list": entry.offer.price_list.hex(),
                "metadata": entry.offer.metadata.hex(),
            }
            for provider, entry in rows
        ]
        click.echo(json.dumps({"schema": amounts.SCHEMA, "providers": said}))
        return
    table = [("PROVIDER", "PAID TO", "CLIENTS")]
    table += [(str(p), str(entry.payout), str(entry.offer.slots)) for p, entry in rows]
    click.echo("\n".join(align(table)) if rows else "no provider is listed")


async def _quote(provider: str, *, as_json: bool, **where: Any) -> None:
    if provider.startswith("0x") and ":" not in provider:
        raise UsageError(
            "market quote asks at HOST:PORT, or at the place in a file; fs-tunnel market list "
            f"shows the price of {provider}"
        )
    place = parse_provider(provider)
    async with _opened(**where) as found:
        domain = channels_domain(found.settings.chain_id, found.settings.channels)
        offered = await ask_for_quote(TcpRoute(place.host, place.port), domain, place.node)
        if as_json:
            click.echo(json.dumps(_quote_json(offered, found.token)))
            return
        offer = offered.terms
        click.echo(
            f"provider: {offer.node}\n"
            f"price: {Price.of(offer).format(found.token)}\n"
            f"paid to: {offer.payee}\n"
            f"least deposit: {found.token.format(offer.min_deposit)}\n"
            f"at risk at first: {format_bytes(offer.increment_bytes)} or "
            f"{format_seconds(offer.increment_seconds)}\n"
            f"may count more than you by: {offer.tolerance_ppm / 10_000:g} %"
        )


def _quote_json(offered: Quote, token: Token) -> dict[str, Any]:
    offer = offered.terms
    return {
        "schema": amounts.SCHEMA,
        "node": str(offer.node),
        "payee": str(offer.payee),
        "per_gib": amount_json(offer.per_gib, token),
        "per_hour": amount_json(offer.per_hour, token),
        "min_deposit": amount_json(offer.min_deposit, token),
        "window_bytes": offer.increment_bytes,
        "window_seconds": offer.increment_seconds,
        "tolerance_ppm": offer.tolerance_ppm,
        "close_window_seconds": offer.close_window,
        "valid_until": offer.valid_until,
    }


async def _orders(*, as_json: bool, **where: Any) -> None:
    async with _opened(**where) as found:
        accounts = await found.journal.do(lambda db: voucher_book.open_accounts(db, Side.PAYER))
        said = [await _describe(found, account) for account in accounts]
    if as_json:
        click.echo(json.dumps({"schema": amounts.SCHEMA, "orders": said}))
        return
    table = [("CHANNEL", "PAID TO", "DEPOSIT", "CLAIMED", "STATE")]
    table += [
        (
            each["channel"],
            each["payee"],
            each["deposit"]["text"] if each["deposit"] else "-",
            each["claimed"]["text"] if each["claimed"] else "-",
            each["state"],
        )
        for each in said
    ]
    click.echo("\n".join(align(table)) if said else "no channel is open")


async def _describe(found: Market, account: Account) -> dict[str, Any]:
    status = await found.channels.status(account.channel)
    state = "closed" if await found.channels.is_closed(account.channel) else "not opened"
    if status is not None:
        state = "closing" if status.closes_at else "open"
    return {
        "channel": "0x" + account.channel.hex(),
        "payee": str(account.terms.payee),
        "state": state,
        "deposit": amount_json(status.deposit, found.token) if status else None,
        "claimed": amount_json(status.claimed, found.token) if status else None,
        "expires_at": account.terms.expires_at,
        "closes_at": status.closes_at or None if status else None,
    }


async def _settle(
    password_file: Path | None,
    yes: bool,
    *,
    as_json: bool,
    wallet_file: Path | None,
    **where: Any,
) -> None:
    path = wallet_file or open_market.default_wallet()
    async with _opened(wallet_file=path, **where) as found:
        accounts = await found.journal.do(lambda db: voucher_book.open_accounts(db, Side.PAYER))
        done = []
        if accounts:
            many = counted(len(accounts), "channel")
            questions.ask(f"Request the close of {many}?", is_given=yes)
            key = await keystores.unlock(path, questions.read_password(password_file))
            sender = Sender(found.chain, found.journal, key, found.settings.fees, _PATIENCE)
            for account in accounts:
                try:
                    now = (await found.chain.head()).timestamp
                    closing = await close_by_payer(
                        found.journal, found.channels, sender, account, now
                    )
                except ChainError as error:
                    click.echo(f"fs-tunnel: warning: {error}", err=True)
                    continue
                done.append((account, closing))
    if as_json:
        said = [
            {"channel": "0x" + account.channel.hex(), "state": closing.state, "at": closing.at}
            for account, closing in done
        ]
        click.echo(json.dumps({"schema": amounts.SCHEMA, "channels": said}))
        return
    for account, closing in done:
        click.echo(f"0x{account.channel.hex()}: {_closing_text(closing)}")
    if not accounts:
        click.echo("no channel is open")


def _closing_text(closing: Closing) -> str:
    if closing.at:
        left = format_wait(max(0, closing.at - int(time.time())))
        return f"{closing.state}; run the command again in {left}"
    return closing.state
