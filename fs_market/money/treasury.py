"""Money of a wallet on its way into the ledger of ``Channels``, and out again."""

from collections.abc import Mapping, Sequence

from fs_market.chain.contracts import Channels, Erc20
from fs_market.chain.sender import Sender
from fs_market.core.wire.ethereum import Address
from fs_market.errors import ChainError
from fs_market.journal import Journal
from fs_market.money.errands import Done, Errands, Step, amount_of
from fs_market.money.tasks import Task


class Treasury(Errands):
    """Moves the tokens of one account."""

    kinds = frozenset(["deposit", "withdraw"])

    def __init__(self, journal: Journal, token: Erc20, channels: Channels, sender: Sender) -> None:
        super().__init__(journal, sender)
        self._token, self._channels = token, channels

    async def deposit(self, amount: int, entropy: bytes) -> Done:
        """From the account's tokens to its ledger; one that was cut short before is finished."""

        async def plan() -> Mapping[str, str]:
            await check_funds(self._token, self._sender.account, amount)
            return {}

        return await self._do("deposit", {"amount": str(amount)}, plan, entropy)

    async def withdraw(self, to: Address, amount: int, entropy: bytes) -> Done:
        """From the ledger to the tokens of ``to``; one that was cut short before is finished."""

        async def plan() -> Mapping[str, str]:
            return {}

        asked = {"amount": str(amount), "to": str(to)}
        return await self._do("withdraw", asked, plan, entropy)

    def steps(self, task: Task) -> Sequence[Step]:
        amount = amount_of(task)
        if task.kind == "deposit":
            approve = self._token.approve(self._channels.address, amount)
            return ("approve", approve), ("deposit", self._channels.deposit(amount))
        to = Address.parse(task.detail["to"])
        return (("withdraw", self._channels.withdraw(to, amount)),)


async def check_funds(token: Erc20, account: Address, amount: int) -> None:
    """ChainError where an account has less: else its allowance would cost gas before that shows."""
    if (held := await token.balance_of(account)) < amount:
        raise ChainError(
            f"{account} has {held} base units of the token, not {amount}; send it more"
        )
