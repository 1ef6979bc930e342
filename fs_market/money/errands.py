"""What a user asks for and what takes several transactions: done once, whatever crashes on the way.

The wish is in the journal first, with all that its transactions depend on, so that a command that
was cut short is finished by its repetition instead of being paid twice.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from fs_market.chain import transactions
from fs_market.chain.answers import Receipt
from fs_market.chain.sender import Sender
from fs_market.chain.transactions import Call
from fs_market.errors import ChainError, Displaced, Reverted
from fs_market.journal import Journal
from fs_market.money import tasks
from fs_market.money.tasks import Task

Step = tuple[str, Call]  # its name is part of the intent, and unique in its errand


@dataclass(frozen=True, slots=True)
class Done:
    """An errand that is done: its transactions, and their gas together."""

    task: Task
    receipts: tuple[Receipt, ...]

    @property
    def kind(self) -> str:
        return self.task.kind

    @property
    def amount(self) -> int:
        """In base units; 0 where none moved."""
        return amount_of(self.task)

    @property
    def gas(self) -> int:
        return sum(receipt.gas_used for receipt in self.receipts)

    @property
    def cost(self) -> int:
        """In wei."""
        return sum(receipt.gas_used * receipt.gas_price for receipt in self.receipts)


class Errands:
    """Those of one account and of some kinds; subclasses say which steps they consist of."""

    kinds: ClassVar[frozenset[str]]

    def __init__(self, journal: Journal, sender: Sender) -> None:
        self._journal, self._sender = journal, sender

    def steps(self, task: Task) -> Sequence[Step]:
        """The transactions in their order, by the task alone: they are the same after a crash."""
        raise NotImplementedError

    async def unfinished(self) -> list[Task]:
        """What was asked for and cut short."""
        owner = self._sender.account.raw
        waiting = await self._journal.do(lambda db: tasks.waiting(db, owner))
        return [task for task in waiting if task.kind in self.kinds]

    async def resume(self) -> list[Done]:
        """Finish all that was cut short."""
        return [await self._carry_out(task) for task in await self.unfinished()]

    async def _do(
        self,
        kind: str,
        asked: Mapping[str, str],
        plan: Callable[[], Awaitable[Mapping[str, str]]],
        entropy: bytes,
    ) -> Done:
        """Finish all that was cut short, and do this unless it was among that.

        ``plan`` looks at the chain then, and adds to ``asked`` what the steps depend on.
        """
        for earlier in await self.resume():
            if earlier.kind == kind and asked.items() <= earlier.task.detail.items():
                return earlier
        task = Task(entropy.hex(), kind, {**asked, **await plan()})
        owner = self._sender.account.raw
        await self._journal.do(lambda db: tasks.add(db, owner, task))
        return await self._carry_out(task)

    async def _carry_out(self, task: Task) -> Done:
        receipts = []
        try:
            # All are asked for each time: what was done before is found in the journal.
            for name, call in self.steps(task):
                receipts.append(await self._sender.carry_out(f"{name}:{task.id}", call))
        except ChainError as error:
            # What will not happen by itself must not happen at a later command by surprise.
            if isinstance(error, Reverted | Displaced) or not await self._has_begun(task):
                await self._journal.do(lambda db: tasks.done(db, task))
            raise
        await self._journal.do(lambda db: tasks.done(db, task))
        return Done(task, tuple(receipts))

    async def _has_begun(self, task: Task) -> bool:
        account = self._sender.account
        intents = [f"{name}:{task.id}" for name, _ in self.steps(task)]
        return await self._journal.do(
            lambda db: any(transactions.live(db, account, intent) for intent in intents)
        )


def amount_of(task: Task) -> int:
    """What a task moves, in base units; 0 where nothing."""
    return int(task.detail.get("amount", 0))
