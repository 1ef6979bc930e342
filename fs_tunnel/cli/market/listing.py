# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel market list``: the providers that match."""

import asyncio
import json
from pathlib import Path
from typing import Any

import click

from fs_market.chain.contracts import Registry
from fs_market.core.wire.ethereum import Address
from fs_net.core.matching import Order
from fs_tunnel.cli.market.opened import opened
from fs_tunnel.cli.options.market_options import (
    MARKET_USER,
    settings_options,
    wallet_option,
    wishes_options,
)
from fs_tunnel.cli.options.params import json_option
from fs_tunnel.console import amounts
from fs_tunnel.console.text import align, tell_progress, warn
from fs_tunnel.roles.client import finding, offers
from fs_tunnel.roles.client.wishes import make_wishes, parse_price
from fs_wire.errors import UsageError

_SPAN = 1000  # blocks in one question: nodes bound it


@click.command("list")
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
    async with opened(settings_file=settings_file, **where) as found:
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
    async with opened(**where) as found:
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
