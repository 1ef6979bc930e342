"""Transactions of one account, from the wish to the final block, and never twice.

Nonce, signature and journal come first, then the wire. What was not answered is sent again, byte
for byte; what is stuck is replaced under the same nonce for a higher fee; what a reorganisation
takes out of the chain is sent once more. After a crash ``resume`` goes on where the journal ends.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from fs_market.chain import transactions
from fs_market.chain.answers import Receipt
from fs_market.chain.chain import Chain
from fs_market.chain.fees import FeePolicy, Fees, offer, raise_offer
from fs_market.chain.transactions import Call, Entry, Signed
from fs_market.core.wire.ethereum import Address
from fs_market.errors import (
    ChainError,
    Displaced,
    FeeTooHigh,
    NodeRefused,
    NodeUnreachable,
    Reverted,
    StillPending,
)
from fs_market.journal import Journal
from fs_market.ports import TransactionSigner

log = logging.getLogger(__name__)

# A node that lags behind may know the nonce and not the receipt: only agreement counts.
_LOOKS_UNTIL_DISPLACED = 3
_GAS_MARGIN = (6, 5)  # of the estimate: state may change until the transaction is mined
_ETHER = 10**18


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds: between looks, until a stuck transaction is replaced, and until we give up."""

    poll: float = 2.0
    replace_after: float = 60.0
    give_up_after: float = 600.0


@dataclass(slots=True)
class _Pursuit:
    """A transaction that is waited for: when it was last signed, how often its nonce was gone."""

    entry: Entry
    sent_at: float
    absences: int = 0

    @property
    def latest(self) -> Signed:
        return self.entry.attempts[-1]


class Sender:
    """Sends for one account. Several of them, in several processes, may share a journal."""

    def __init__(
        self,
        chain: Chain,
        journal: Journal,
        signer: TransactionSigner,
        fees: FeePolicy,
        patience: Patience,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chain, self._journal, self._signer = chain, journal, signer
        self._fees, self._patience, self._clock = fees, patience, clock
        # Nonces reach the chain in their order: some nodes refuse one that is ahead.
        self._lock = asyncio.Lock()

    @property
    def account(self) -> Address:
        return self._signer.address

    async def carry_out(self, intent: str, call: Call) -> Receipt:
        """Have a transaction mined for good, or find that it was.

        Reverted where a contract refuses it, FeeTooHigh, StillPending where it takes too long; it
        can be asked for again then, with the same intent.
        """
        return await self._finish(await self._submit(intent, call))

    async def resume(self) -> list[Entry]:
        """Send again all that is under way, in order; returns it."""
        waiting = await self._journal.do(lambda db: transactions.unfinished(db, self.account))
        async with self._lock:
            for entry in waiting:
                await self._send(entry.attempts[-1])
        return waiting

    async def finish_all(self) -> None:
        """Resume, and wait for the end of each; the first failure is raised when all have ended."""
        failures: list[ChainError] = []
        for entry in await self.resume():
            try:
                await self._finish(entry)
            except ChainError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    async def _submit(self, intent: str, call: Call) -> Entry:
        async with self._lock:
            entry = await self._journal.do(lambda db: transactions.live(db, self.account, intent))
            if entry is None:
                entry = await self._write_down(intent, call)
            if entry.outcome is None:
                await self._send(entry.attempts[-1])
            return entry

    async def _write_down(self, intent: str, call: Call) -> Entry:
        sender = self.account
        estimate = await self._chain.estimate_gas(sender, call.receiver, call.data, call.value)
        gas = estimate * _GAS_MARGIN[0] // _GAS_MARGIN[1]
        fees = await self._current_fees()
        needed = call.value + gas * fees.limit
        if (balance := await self._chain.balance(sender)) < needed:
            raise ChainError(
                f"{sender} has {balance / _ETHER:.6f} of the chain's coin and needs "
                f"{needed / _ETHER:.6f} for gas; send it some"
            )
        expected = await self._chain.nonce(sender)
        return await self._journal.do(
            lambda db: transactions.reserve(
                db, sender, intent, call, gas, expected, lambda n: self._sign(call, gas, n, fees)
            )
        )

    async def _finish(self, entry: Entry) -> Receipt:
        pursuit = _Pursuit(entry, started := self._clock())
        while True:
            try:
                receipt = await self._pursue(pursuit)
            except NodeUnreachable as error:
                log.info("%s: %s", entry.intent, error)
                receipt = None
            if receipt is not None:
                return await self._record(entry, receipt)
            if self._clock() - started >= self._patience.give_up_after:
                raise StillPending(
                    f"{entry.intent} is sent but not final (0x{pursuit.latest.hash.hex()}); "
                    "repeat the command to wait on, nothing is paid twice"
                )
            await asyncio.sleep(self._patience.poll)

    async def _pursue(self, pursuit: _Pursuit) -> Receipt | None:
        """Look once, and send or replace what is in no block; the receipt once it is final."""
        receipt, is_final = await self._look(pursuit.entry.attempts)
        if receipt is not None:
            return receipt if is_final else None
        if await self._is_nonce_taken(pursuit.entry):
            pursuit.absences += 1
            if pursuit.absences >= _LOOKS_UNTIL_DISPLACED:
                await self._give_up(pursuit.entry)
            return None
        pursuit.absences = 0
        if self._clock() - pursuit.sent_at >= self._patience.replace_after:
            pursuit.entry, pursuit.sent_at = await self._replaced(pursuit.entry), self._clock()
        await self._send(pursuit.latest)
        return None

    async def _look(self, attempts: Sequence[Signed]) -> tuple[Receipt | None, bool]:
        """The receipt of whichever attempt was mined, and whether that is final."""
        for attempt in reversed(attempts):
            receipt = await self._chain.receipt(attempt.hash)
            if receipt is not None:
                head = await self._chain.head()
                if head.number - receipt.block_number + 1 < self._chain.confirmations:
                    return receipt, False
                block = await self._chain.block(receipt.block_number)
                return receipt, block is not None and block.hash == receipt.block_hash
        return None, False

    async def _is_nonce_taken(self, entry: Entry) -> bool:
        """Whether a final block has the nonce, although none of ours was found."""
        head = await self._chain.head()
        final = head.number - self._chain.confirmations + 1
        return final >= 0 and await self._chain.nonce(self.account, final) > entry.nonce

    async def _give_up(self, entry: Entry) -> NoReturn:
        await self._journal.do(lambda db: transactions.finish(db, entry.id, None))
        raise Displaced(
            f"another program used nonce {entry.nonce} of {self.account}, so that "
            f"{entry.intent} did not happen; look at the account, then repeat"
        )

    async def _record(self, entry: Entry, receipt: Receipt) -> Receipt:
        await self._journal.do(lambda db: transactions.finish(db, entry.id, receipt))
        if receipt.has_succeeded:
            return receipt
        raise await self._reason(entry, receipt)

    async def _reason(self, entry: Entry, receipt: Receipt) -> Reverted:
        """Why a contract refused: receipts do not say, so it is run once more."""
        if (receiver := entry.call.receiver) is not None:
            data, number = entry.call.data, receipt.block_number
            try:
                await self._chain.call(receiver, data, sender=self.account, block=number)
            except Reverted as reason:
                return reason
            except ChainError as error:
                log.info("%s: %s", entry.intent, error)
        where = f"0x{receipt.transaction_hash.hex()}"
        return Reverted(f"the contract refused {entry.intent}; look at transaction {where}")

    async def _replaced(self, entry: Entry) -> Entry:
        """The same under the same nonce for a higher fee, where the cap leaves room."""
        stuck = entry.attempts[-1].fees
        try:
            fees = raise_offer(stuck, await self._current_fees(), self._fees)
        except FeeTooHigh:
            return entry
        if fees is None:
            return entry
        signed = self._sign(entry.call, entry.gas, entry.nonce, fees)
        await self._journal.do(lambda db: transactions.add_attempt(db, entry.id, signed))
        return await self._journal.do(lambda db: transactions.get(db, entry.id))

    async def _current_fees(self) -> Fees:
        head, tips = await self._chain.head(), await self._chain.tips()
        return offer(head.base_fee, tips, self._fees)

    def _sign(self, call: Call, gas: int, nonce: int, fees: Fees) -> Signed:
        return self._signer.sign_transaction(self._chain.chain_id, call, gas, nonce, fees)

    async def _send(self, signed: Signed) -> None:
        """Whatever the node says, the journal has it, and whoever waits for it sends it again."""
        try:
            await self._chain.send(signed.raw)
        except (NodeUnreachable, NodeRefused, Reverted) as error:
            log.info("0x%s: %s", signed.hash.hex(), error)
