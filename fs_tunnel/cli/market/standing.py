# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What the verbs share that change how a provider stands on the chain.

The wallet is the owner's, which may be cold. The stake stands under the provider's account, whose
key is the ``key_file`` of its ``market.toml``: there the verbs are to be typed.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import click

from fs_market.core.money.units import format_wait
from fs_market.errors import ChainError
from fs_market.money.errands import Done
from fs_tunnel.cli.options.market_options import (
    password_option,
    settings_options,
    wallet_option,
    yes_option,
)
from fs_tunnel.cli.options.params import json_option
from fs_tunnel.console import amounts
from fs_tunnel.console.amounts import amount_json
from fs_tunnel.roles.provider.desk import Desk


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the options of them all."""
    for option in (json_option, yes_option, settings_options, password_option, wallet_option):
        command = option(command)
    return command


def check_announced(desk: Desk) -> None:
    """Raise ChainError if the provider is not in the Registry."""
    if not desk.is_announced:
        raise ChainError(f"{desk.provider} is not announced; fs-tunnel market announce first")


def waiting(desk: Desk) -> str:
    """Say when a stake that was asked back can leave."""
    left = format_wait(max(0, desk.stake.exits_at - int(time.time())))
    return f"the stake can leave in {left}; run the command again then"


def finish(desk: Desk, done: Done | None, text: str, as_json: bool) -> None:
    """Say what was done and what it cost, as a text or as JSON."""
    if as_json:
        echo_json(desk, done)
    else:
        tell(desk, done, text)


def echo_json(desk: Desk, done: Done | None) -> None:
    """Print how the provider stands, and the transactions of what was done."""
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


def tell(desk: Desk, done: Done | None, text: str) -> None:
    """Print a text about the provider, and the gas of what was done."""
    if text:
        click.echo(f"provider {desk.provider}: {text}")
    if done:
        click.echo(f"gas: {done.gas}, for {amounts.coin_text(done.cost)} of the chain's coin")
