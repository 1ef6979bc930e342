"""What the verbs about money share: passwords, consent, and a market that is open."""

import os
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from fs_market.chain import Chain
from fs_market.contracts import Channels, Erc20
from fs_market.core.units import Token
from fs_market.errors import ChainError
from fs_market.journal import Journal
from fs_market.settings import MarketSettings, find, read
from fs_tunnel.errors import UsageError

SCHEMA = 1
_MAX_SECRET = 4096  # bytes
_ETHER = 10**18


def default_wallet() -> Path:
    return Path.home() / ".local" / "share" / "flowshield" / "wallet.json"


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


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON, of a schema with a version."
    )(command)


def read_password(file: Path | None, *, is_chosen: bool = False) -> str:
    """A keystore's password: from a file, standard input or a prompt, never from an argument."""
    if file is None:
        if not sys.stdin or not sys.stdin.isatty():
            raise UsageError("no terminal to ask for the password; use --password-file")
        text: str = click.prompt(
            "Password", hide_input=True, err=True, confirmation_prompt=is_chosen
        )
    else:
        text = read_secret(file)
    if not text:
        raise UsageError("the password is empty; choose another")
    return text


def read_secret(file: Path) -> str:
    """The first line of a file that others cannot read, or of standard input where it is ``-``."""
    if str(file) == "-":
        raw = sys.stdin.buffer.read(_MAX_SECRET) if sys.stdin else b""
    else:
        try:
            with file.open("rb") as stream:
                status = os.fstat(stream.fileno())
                if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
                    raise UsageError(f"others can read {file}; chmod 600 it")
                raw = stream.read(_MAX_SECRET)
        except OSError as error:
            raise UsageError(f"{file}: {error.strerror}; name another file") from None
    try:
        return raw.decode().split("\n", 1)[0].removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError(f"{file} is no text; name another file") from None


def ask(question: str, *, is_given: bool) -> None:
    """Have money moved only with consent: ``--yes``, or a yes on the terminal."""
    if is_given:
        return
    if not sys.stdin or not sys.stdin.isatty():
        raise UsageError("no terminal to ask for consent; add --yes")
    click.confirm(question, abort=True, err=True)


@dataclass(frozen=True, slots=True)
class Market:
    """A chain with its contracts, and the journal beside the wallet."""

    chain: Chain
    journal: Journal
    coin: Erc20
    token: Token
    channels: Channels
    settings: MarketSettings


@asynccontextmanager
async def opened(
    settings_file: Path | None, rpc: str | None, wallet_file: Path
) -> AsyncIterator[Market]:
    """Connect to the chain of the settings; a journal belongs to a wallet and a chain."""
    settings = read(find(settings_file), rpc)
    async with Chain(
        settings.rpc, settings.chain_id, confirmations=settings.confirmations
    ) as chain:
        coin, channels = Erc20(chain, settings.token), Channels(chain, settings.channels)
        if (found := await channels.token()) != settings.token:
            raise ChainError(
                f"the channels at {settings.channels} are for the token {found}, "
                f"not {settings.token}; mend the settings"
            )
        name = f"{wallet_file.stem}-{settings.chain_id}-{chain.genesis[:4].hex()}.journal"
        async with Journal(wallet_file.with_name(name), chain.genesis) as journal:
            token = await coin.describe()
            yield Market(chain, journal, coin, token, channels, settings)


def amount_json(units: int, token: Token) -> dict[str, str]:
    """Base units as a string, since JSON's numbers end at 53 bits, and as people read it."""
    return {"units": str(units), "text": token.format(units)}


def coin_text(wei: int) -> str:
    """An amount of the chain's own coin, rounded up to six places where it is no fee of nothing."""
    millionths = -(-wei * 10**6 // _ETHER)
    return f"{millionths // 10**6}.{millionths % 10**6:06}"
