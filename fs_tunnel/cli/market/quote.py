# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel market quote``: a provider's price."""

import asyncio
import json
from typing import Any

import click

from fs_market.core.money.prices import Price
from fs_market.core.money.units import Token, format_bytes, format_seconds
from fs_market.core.wire.channels import channels_domain
from fs_market.core.wire.messages import Quote
from fs_market.session.quoting import ask_for_quote
from fs_market.session.stream import TcpRoute
from fs_tunnel.cli.market.opened import opened
from fs_tunnel.cli.options.market_options import settings_options, wallet_option
from fs_tunnel.cli.options.params import json_option
from fs_tunnel.console import amounts
from fs_tunnel.console.amounts import amount_json
from fs_tunnel.roles.client.providers import parse_provider
from fs_wire.errors import UsageError


@click.command()
@click.argument("provider", metavar="HOST:PORT|FILE")
@wallet_option
@settings_options
@json_option
def quote(provider: str, **options: Any) -> None:
    """Ask a provider for its price; buy nothing."""
    asyncio.run(_quote(provider, **options))


async def _quote(provider: str, *, as_json: bool, **where: Any) -> None:
    if provider.startswith("0x") and ":" not in provider:
        raise UsageError(
            "market quote asks at HOST:PORT, or at the place in a file; fs-tunnel market list "
            f"shows the price of {provider}"
        )
    place = parse_provider(provider)
    async with opened(**where) as found:
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
