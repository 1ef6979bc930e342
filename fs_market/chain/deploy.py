# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Makes the contracts on a chain that has none, for development or for a new market."""

from dataclasses import astuple, dataclass

from fs_market.chain.contracts import Rules, artefact
from fs_market.chain.sender import Sender
from fs_market.chain.transactions import Call
from fs_market.core.wire.ethereum import Address
from fs_market.errors import MalformedAnswer

DAY = 86_400
TOKEN = 10**6  # base units of the test token
DEFAULT_RULES = Rules(
    minimum_stake=100 * TOKEN,
    bounty=1 * TOKEN,
    exit_delay=21 * DAY,
    case_time=7 * DAY,
    cap_bps=5_000,
    victim_bps=5_000,
)


@dataclass(frozen=True, slots=True)
class Deployed:
    """The addresses of the contracts."""

    token: Address
    channels: Address
    stakes: Address
    registry: Address


async def deploy(sender: Sender, court: Address, rules: Rules, bond_per_slot: int) -> Deployed:
    """Make a test token and the contracts, except those that an earlier run has made.

    ``bond_per_slot`` is in base units.  Raise a ChainError if a transaction fails.
    """
    token = await _make(sender, "TestToken")
    channels = await _make(sender, "Channels", token)
    stakes = await _make(sender, "StakeBook", token, court, astuple(rules))
    registry = await _make(sender, "Registry", stakes, bond_per_slot)
    return Deployed(token, channels, stakes, registry)


async def _make(sender: Sender, name: str, *args: object) -> Address:
    call: Call = artefact(name).deployment(*args)
    receipt = await sender.carry_out(f"deploy:{name}", call)
    if receipt.contract is None:
        raise MalformedAnswer(
            f"the chain node does not tell the address of {name}; use another chain node"
        )
    return receipt.contract
