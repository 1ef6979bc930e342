# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Moves a wallet's money into its account at the contract ``Channels``, and out of it."""

from collections.abc import Mapping, Sequence

from fs_market.chain.contracts import Channels, Erc20
from fs_market.chain.sender import Sender
from fs_market.core.wire.ethereum import Address
from fs_market.database import Database
from fs_market.errors import ChainError
from fs_market.money.errands import Done, Errands, Step, amount_of
from fs_market.money.tasks import Task


class Treasury(Errands):
    """The deposits and withdrawals of one account, as errands."""

    kinds = frozenset(["deposit", "withdraw"])

    def __init__(self, journal: Database, token: Erc20, channels: Channels, sender: Sender) -> None:
        super().__init__(journal, sender)
        self._token, self._channels = token, channels

    async def deposit(self, amount: int, entropy: bytes) -> Done:
        """Move base units from the wallet's tokens to its account at the contract.

        Raise ChainError if the wallet has too few tokens.
        """

        async def plan() -> Mapping[str, str]:
            await check_funds(self._token, self._sender.account, amount)
            return {}

        return await self._do("deposit", {"amount": str(amount)}, plan, entropy)

    async def withdraw(self, to: Address, amount: int, entropy: bytes) -> Done:
        """Move base units from the account at the contract to the tokens of ``to``."""

        async def plan() -> Mapping[str, str]:
            return {}

        asked = {"amount": str(amount), "to": str(to)}
        return await self._do("withdraw", asked, plan, entropy)

    def steps(self, task: Task) -> Sequence[Step]:
        """Return the transactions of a task of one of the ``kinds``, in their order."""
        amount = amount_of(task)
        if task.kind == "deposit":
            approve = self._token.approve(self._channels.address, amount)
            return ("approve", approve), ("deposit", self._channels.deposit(amount))
        to = Address.parse(task.detail["to"])
        return (("withdraw", self._channels.withdraw(to, amount)),)


async def check_funds(token: Erc20, account: Address, amount: int) -> None:
    """Raise ChainError if an account has less than ``amount`` base units of a token.

    Without this check, the allowance would cost gas before the deposit fails.
    """
    if (held := await token.balance_of(account)) < amount:
        raise ChainError(
            f"{account} has {held} base units of the token, not {amount}; send the account more"
        )
