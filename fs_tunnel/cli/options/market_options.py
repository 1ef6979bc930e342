# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Options of the verbs that deal with money; light, for verbs that mostly do not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fs_tunnel.cli.options.params import Country, Percent, User
from fs_tunnel.roles.client.purchase import Looking, Purchase

MARKET_USER = click.option(
    "--market-user",
    type=User(),
    default=0,
    help="User that the agent runs as. Default: flowshield, else dnsmasq, else nobody.",
)


def wallet_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--wallet",
        "wallet_file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Wallet to use. Default: ~/.local/share/flowshield/wallet.json.",
    )(command)


def password_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--password-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="File with the wallet's password, or - for standard input. Default: ask.",
    )(command)


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--rpc", metavar="URL", help="Use this chain node, not the one in the settings."
        ),
        click.option(
            "--settings",
            "settings_file",
            type=click.Path(dir_okay=False, path_type=Path),
            help="market.toml to use. Default: ~/.config/flowshield/market.toml, then "
            "/etc/fs-tunnel/market.toml.",
        ),
    ):
        command = option(command)
    return command


def yes_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--yes", is_flag=True, help="Do not ask for confirmation before money moves."
    )(command)


def wishes_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a provider has to offer, and which full nodes to ask."""
    for option in (
        click.option(
            "--full-node",
            "full_nodes",
            metavar="MULTIADDR",
            multiple=True,
            help="Ask only this full node, instead of those in the settings; repeatable.",
        ),
        click.option(
            "--order",
            type=click.Choice(["best", "price", "uptime", "capacity", "stake"]),
            default="best",
            show_default=True,
            help="How to sort the providers.",
        ),
        click.option(
            "--to-port",
            "ports",
            type=click.IntRange(1, 65535),
            multiple=True,
            help="Only providers that let you connect to this port; repeatable.",
        ),
        click.option(
            "--service",
            "services",
            type=click.Choice(["exit", "relay"]),
            multiple=True,
            help="Only providers with this service; repeatable. Default: exit.",
        ),
        click.option(
            "--min-uptime",
            type=Percent(),
            default=0,
            help='Only providers that were up for this share of time, such as "99%".',
        ),
        click.option(
            "--max-price",
            metavar="PRICE",
            help='Highest price: "0.05 USDC/GiB + 0.01 USDC/h". If you name only one part, '
            "providers that also charge for the other are left out.",
        ),
        click.option(
            "--country",
            "countries",
            type=Country(),
            multiple=True,
            help="Only providers in this country, such as DE. Repeat it to allow more countries.",
        ),
    ):
        command = option(command)
    return command


def buying_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        *_paying_options(
            "1 d", "How long the channel lasts.", 'The most you pay, such as "5 USDC".'
        ),
        click.option(
            "--no-failover",
            is_flag=True,
            help="Use one provider only; no standby takes over if it fails.",
        ),
        click.option(
            "--provider",
            "providers",
            multiple=True,
            metavar="HOST:PORT|0x…|FILE",
            help="Buy from this provider. Repeat it to name up to two standbys.",
        ),
    ):
        command = option(command)
    return command


def prepaying_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        *_paying_options(
            "30 d",
            "How long the place lasts; what is left then is lost.",
            'What you pay, such as "5 USDC".',
        ),
        click.option(
            "--provider",
            "providers",
            multiple=True,
            metavar="HOST:PORT|0x…|FILE",
            help="Buy from this provider. Repeat it to name others if the first is full.",
        ),
    ):
        command = option(command)
    return command


def purchase_of(options: dict[str, Any]) -> Purchase:
    """What ``buying_options`` or ``prepaying_options`` brought."""
    given = {"no_failover": True, **options}
    looking = Looking(**{each: given.pop(each) for each in Looking.__slots__})
    return Purchase(looking=looking, **given)


def _paying_options(lifetime: str, until: str, amount: str) -> tuple[Callable[..., Any], ...]:
    """From whom to buy, which wallet pays, and the limits."""
    return (
        yes_option,
        settings_options,
        password_option,
        wallet_option,
        MARKET_USER,
        click.option(
            "--for", "lifetime", metavar="TIME", default=lifetime, show_default=True, help=until
        ),
        click.option("--budget", metavar="AMOUNT", help=amount),
        click.option(
            "--choose", is_flag=True, help="Ask you which of the best providers to buy from."
        ),
        wishes_options,
    )
