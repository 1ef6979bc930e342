# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Errands: wishes of a user that take several transactions, and are done once despite crashes.

The wish goes to the journal first, with everything that its transactions depend on.  So the user
can repeat a command that was interrupted: the repetition finishes it, and nothing is paid twice.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from fs_market.chain import transactions
from fs_market.chain.answers import Receipt
from fs_market.chain.sender import Sender
from fs_market.chain.transactions import Call
from fs_market.database import Database
from fs_market.errors import ChainError, Displaced, Reverted
from fs_market.money import tasks
from fs_market.money.tasks import Task

Step = tuple[str, Call]  # the name is part of the intent, and unique in its errand


@dataclass(frozen=True, slots=True)
class Done:
    """A finished errand with the receipts of its transactions."""

    task: Task
    receipts: tuple[Receipt, ...]

    @property
    def kind(self) -> str:
        """The kind of the errand, such as ``deposit``."""
        return self.task.kind

    @property
    def amount(self) -> int:
        """The base units that the errand moved; 0 if it moved none."""
        return amount_of(self.task)

    @property
    def gas(self) -> int:
        """The gas of all transactions together."""
        return sum(receipt.gas_used for receipt in self.receipts)

    @property
    def cost(self) -> int:
        """The price of the gas, in wei."""
        return sum(receipt.gas_used * receipt.gas_price for receipt in self.receipts)


class Errands:
    """The errands of one account; a subclass defines their kinds and their steps.

    Every method raises a ChainError if a transaction fails.
    """

    kinds: ClassVar[frozenset[str]]

    def __init__(self, journal: Database, sender: Sender) -> None:
        self._journal, self._sender = journal, sender

    def steps(self, task: Task) -> Sequence[Step]:
        """Return the transactions in their order.

        They depend on the task alone, so that they are the same after a crash.
        """
        raise NotImplementedError

    async def unfinished(self) -> list[Task]:
        """Return the tasks that were interrupted."""
        owner = self._sender.account.raw
        waiting = await self._journal.do(lambda db: tasks.waiting(db, owner))
        return [task for task in waiting if task.kind in self.kinds]

    async def resume(self) -> list[Done]:
        """Finish all tasks that were interrupted."""
        return [await self._carry_out(task) for task in await self.unfinished()]

    async def _do(
        self,
        kind: str,
        asked: Mapping[str, str],
        plan: Callable[[], Awaitable[Mapping[str, str]]],
        entropy: bytes,
    ) -> Done:
        """Finish all interrupted tasks; then do this one, unless it was among them.

        ``asked`` has the user's arguments.  ``plan`` looks at the chain and returns what else the
        steps depend on.  ``entropy`` is random, and names the task.
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
            # The sender finds the steps that were done before in the journal.
            for name, call in self.steps(task):
                receipts.append(await self._sender.carry_out(f"{name}:{task.id}", call))
        except ChainError as error:
            # A task that failed must not be done later, when the user repeats another command.
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
    """Return the base units that a task moves; 0 if it moves none."""
    return int(task.detail.get("amount", 0))
