"""Options of the verbs that deal with money; light, for verbs that mostly do not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fs_tunnel.cli.options.params import Country, Percent, User

MARKET_USER = click.option(
    "--market-user",
    type=User(),
    default=0,
    help="The user to run the agent as; flowshield, or else nobody.",
)


def wallet_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--wallet",
        "wallet_file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The keystore; ~/.local/share/flowshield/wallet.json where none is named.",
    )(command)


def password_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--password-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Read the keystore's password here, or from - (standard input), without a prompt.",
    )(command)


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--rpc", metavar="URL", help="Another node of the chain."),
        click.option(
            "--settings",
            "settings_file",
            type=click.Path(dir_okay=False, path_type=Path),
            help="The market.toml; ~/.config/flowshield or /etc/fs-tunnel has it else.",
        ),
    ):
        command = option(command)
    return command


def yes_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--yes", is_flag=True, help="Do not ask before money moves.")(command)


def wishes_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is wanted of a provider that is looked for, and whom to ask."""
    for option in (
        click.option(
            "--full-node",
            "full_nodes",
            metavar="MULTIADDR",
            multiple=True,
            help="Ask this full node, and none of those in the settings; repeatable.",
        ),
        click.option(
            "--order",
            type=click.Choice(["best", "price", "uptime", "capacity", "stake"]),
            default="best",
            show_default=True,
            help="What comes first.",
        ),
        click.option(
            "--to-port",
            "ports",
            type=click.IntRange(1, 65535),
            multiple=True,
            help="It must not refuse connections to this port; repeatable.",
        ),
        click.option(
            "--service",
            "services",
            type=click.Choice(["exit", "relay"]),
            multiple=True,
            help="What it must offer; exit where none is named. Repeatable.",
        ),
        click.option(
            "--min-uptime",
            type=Percent(),
            default=0,
            help='The share of time in which it must have been live: "99%".',
        ),
        click.option(
            "--max-price",
            metavar="PRICE",
            help='The most it may cost: "0.05 USDC/GiB", "0.01 USDC/h", or both with " + ".',
        ),
        click.option(
            "--country",
            "countries",
            type=Country(),
            multiple=True,
            help="Where it must be: DE; repeatable, any of them.",
        ),
    ):
        command = option(command)
    return command


def buying_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        *_paying_options("1 d", "How long the channel is to last.", 'The most to pay: "5 USDC".'),
        click.option(
            "--no-failover",
            is_flag=True,
            help="Stay where the tunnel was bought: nobody stands by.",
        ),
        click.option(
            "--provider",
            "providers",
            multiple=True,
            metavar="HOST:PORT|0x…|FILE",
            help="Buy the tunnel there; CONF is its name then, or left out. More of them stand by.",
        ),
    ):
        command = option(command)
    return command


def prepaying_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        *_paying_options(
            "30 d", "How long it can be used: what is left then is lost.", 'What to pay: "5 USDC".'
        ),
        click.option(
            "--provider",
            "providers",
            multiple=True,
            metavar="HOST:PORT|0x…|FILE",
            help="Buy of this one; more of them are asked where it has no place.",
        ),
    ):
        command = option(command)
    return command


def _paying_options(lifetime: str, until: str, amount: str) -> tuple[Callable[..., Any], ...]:
    """Of whom is bought, by whom, and within which limits."""
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
        click.option("--choose", is_flag=True, help="Ask which of the best to buy of."),
        wishes_options,
    )
