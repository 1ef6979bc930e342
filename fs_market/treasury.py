"""Money of a wallet on its way into the ledger of ``Channels``, and out again.

A deposit takes two transactions. What the user asked for is in the journal first, so that a command
that was cut short is finished by its repetition instead of being paid twice.
"""

from dataclasses import dataclass

from fs_market import tasks, transactions
from fs_market.answers import Receipt
from fs_market.contracts import Channels, Erc20
from fs_market.core.ethereum import Address
from fs_market.errors import ChainError, Displaced, Reverted
from fs_market.journal import Journal
from fs_market.sender import Sender
from fs_market.tasks import Task


@dataclass(frozen=True, slots=True)
class Transfer:
    """A deposit or withdrawal that is done: its transactions, and their gas together."""

    kind: str
    amount: int
    receipts: tuple[Receipt, ...]

    @property
    def gas(self) -> int:
        return sum(receipt.gas_used for receipt in self.receipts)

    @property
    def cost(self) -> int:
        """In wei."""
        return sum(receipt.gas_used * receipt.gas_price for receipt in self.receipts)


class Treasury:
    """Moves the tokens of one account."""

    def __init__(self, journal: Journal, token: Erc20, channels: Channels, sender: Sender) -> None:
        self._journal, self._token = journal, token
        self._channels, self._sender = channels, sender

    async def deposit(self, amount: int, entropy: bytes) -> Transfer:
        """From the account's tokens to its ledger; one that was cut short before is finished."""
        task = Task(entropy.hex(), "deposit", {"amount": str(amount)})
        if (transfer := await self._finish_earlier(task)) is not None:
            return transfer
        # Else the allowance would cost gas before the deposit is refused.
        if (held := await self._token.balance_of(self._sender.account)) < amount:
            raise ChainError(
                f"{self._sender.account} has {held} base units of the token, not {amount}; "
                "send it more"
            )
        return await self._begin(task)

    async def withdraw(self, to: Address, amount: int, entropy: bytes) -> Transfer:
        """From the ledger to the tokens of ``to``; one that was cut short before is finished."""
        task = Task(entropy.hex(), "withdraw", {"amount": str(amount), "to": str(to)})
        return await self._finish_earlier(task) or await self._begin(task)

    async def unfinished(self) -> list[Task]:
        """What was asked for and cut short."""
        owner = self._sender.account.raw
        return await self._journal.do(lambda db: tasks.waiting(db, owner))

    async def resume(self) -> list[Transfer]:
        """Finish all that was cut short."""
        return [await self._carry_out(task) for task in await self.unfinished()]

    async def _finish_earlier(self, wanted: Task) -> Transfer | None:
        """Finish all that was cut short; returns what was the same as ``wanted``."""
        same = None
        for task in await self.unfinished():
            transfer = await self._carry_out(task)
            if (task.kind, task.detail) == (wanted.kind, wanted.detail):
                same = transfer
        return same

    async def _begin(self, task: Task) -> Transfer:
        owner = self._sender.account.raw
        await self._journal.do(lambda db: tasks.add(db, owner, task))
        return await self._carry_out(task)

    async def _carry_out(self, task: Task) -> Transfer:
        amount = int(task.detail["amount"])
        try:
            if task.kind == "deposit":
                receipts = await self._deposit(task.id, amount)
            else:
                to = Address.parse(task.detail["to"])
                call = self._channels.withdraw(to, amount)
                receipts = (await self._sender.carry_out(f"withdraw:{task.id}", call),)
        except ChainError as error:
            # What will not happen by itself must not happen at a later command by surprise.
            if isinstance(error, Reverted | Displaced) or not await self._has_begun(task):
                await self._journal.do(lambda db: tasks.done(db, task))
            raise
        await self._journal.do(lambda db: tasks.done(db, task))
        return Transfer(task.kind, amount, receipts)

    async def _has_begun(self, task: Task) -> bool:
        account = self._sender.account
        intents = [f"{step}:{task.id}" for step in ("approve", "deposit", "withdraw")]
        return await self._journal.do(
            lambda db: any(transactions.live(db, account, intent) for intent in intents)
        )

    async def _deposit(self, number: str, amount: int) -> tuple[Receipt, ...]:
        approve = self._token.approve(self._channels.address, amount)
        # Both are asked for each time: what was done before is found in the journal.
        first = await self._sender.carry_out(f"approve:{number}", approve)
        second = await self._sender.carry_out(f"deposit:{number}", self._channels.deposit(amount))
        return first, second
