# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Sends the transactions of one account, each once, and waits until they are final.

A transaction gets its nonce and its signature and goes to the journal before it is sent.  The
sender sends it again, byte for byte, if the chain node does not answer, or if a reorganisation
takes it out of the chain. It replaces a stuck transaction under the same nonce with a higher fee.

A chain mines the transactions of an account in the order of their nonces. So one that a chain node
forgot, or that a process left behind, would keep all later ones waiting. Whoever waits for any
transaction of the account therefore also pursues the earlier ones that nobody here waits for.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

from fs_market.chain import transactions
from fs_market.chain.answers import Receipt
from fs_market.chain.chain import Chain
from fs_market.chain.fees import FeePolicy, Fees, offer, raise_offer
from fs_market.chain.transactions import Call, Entry, Signed
from fs_market.core.wire.ethereum import Address
from fs_market.database import Database
from fs_market.errors import (
    ChainError,
    Displaced,
    FeeTooHigh,
    NodeRefused,
    NodeUnreachable,
    Reverted,
    StillPending,
)

log = logging.getLogger(__name__)

# A chain node that lags behind may know the nonce but not the receipt, so one look is not enough.
_LOOKS_UNTIL_DISPLACED = 3
_TENDED = 16  # earlier transactions at a time
_GAS_MARGIN = (6, 5)  # of the estimate: state may change until the transaction is mined
_ETHER = 10**18


class TransactionSigner(Protocol):
    """The holder of an account's key: a keystore here, a device elsewhere."""

    @property
    def address(self) -> Address:
        """The address of the account."""
        ...

    def sign_transaction(
        self, chain_id: int, call: Call, gas: int, nonce: int, fees: Fees
    ) -> Signed:
        """Sign a transaction of type 2 (EIP-1559)."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """The waiting times of a sender, in seconds."""

    poll: float = 2.0  # between two looks at the chain
    replace_after: float = 60.0  # until a stuck transaction is replaced
    give_up_after: float = 600.0  # until StillPending is raised


@dataclass(slots=True)
class _Pursuit:
    """A transaction that we wait for."""

    entry: Entry
    sent_at: float  # when it was last signed
    absences: int = 0  # how many looks in a row found that another transaction had its nonce

    @property
    def latest(self) -> Signed:
        return self.entry.attempts[-1]


class Sender:
    """Sends for one account.  Several senders, in several processes, may share a journal."""

    def __init__(
        self,
        chain: Chain,
        journal: Database,
        signer: TransactionSigner,
        fees: FeePolicy,
        patience: Patience,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chain, self._journal, self._signer = chain, journal, signer
        self._fees, self._patience, self._clock = fees, patience, clock
        # Transactions reach the chain in the order of their nonces: some chain nodes refuse one
        # that is ahead.
        self._lock = asyncio.Lock()
        self._awaited: set[int] = set()  # the entries that somebody here waits for
        self._orphans: dict[int, _Pursuit] = {}  # unfinished ones that nobody here waits for
        self._tended_at = -math.inf

    @property
    def account(self) -> Address:
        """The account that sends and pays."""
        return self._signer.address

    async def carry_out(self, intent: str, call: Call) -> Receipt:
        """Return the receipt of a transaction when it is final.

        Send the transaction, unless the journal already has one with this intent.  Raise Reverted
        if a contract refuses it, and FeeTooHigh if gas costs more than the user allows.  Raise
        Displaced if another transaction took its nonce, and StillPending if it takes too long.
        After an error, the caller may call again with the same intent.
        """
        return await self._finish(await self._submit(intent, call))

    async def resume(self) -> list[Entry]:
        """Send all unfinished transactions again, in order, and return them."""
        waiting = await self._journal.do(lambda db: transactions.unfinished(db, self.account))
        async with self._lock:
            for entry in waiting:
                await self._send(entry.attempts[-1])
        return waiting

    async def finish_all(self) -> None:
        """Resume, and wait until each transaction has ended; then raise the first failure."""
        failures: list[ChainError] = []
        endings = [self._finish(entry) for entry in await self.resume()]
        for ending in await asyncio.gather(*endings, return_exceptions=True):
            if isinstance(ending, ChainError):
                failures.append(ending)
            elif isinstance(ending, BaseException):
                raise ending
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
                f"{needed / _ETHER:.6f} for gas; send the account some"
            )
        expected = await self._chain.nonce(sender)
        return await self._journal.do(
            lambda db: transactions.reserve(
                db, sender, intent, call, gas, expected, lambda n: self._sign(call, gas, n, fees)
            )
        )

    async def _finish(self, entry: Entry) -> Receipt:
        self._awaited.add(entry.id)
        try:
            receipt = await self._wait(entry)
        finally:
            self._awaited.discard(entry.id)
        if self._orphans:  # the earlier ones are final, too
            self._tended_at = -math.inf
            await self._tend()
        return receipt

    async def _wait(self, entry: Entry) -> Receipt:
        pursuit = _Pursuit(entry, started := self._clock())
        while True:
            try:
                await self._tend()
                receipt = await self._pursue(pursuit)
            except NodeUnreachable as error:
                log.info("%s: %s", entry.intent, error)
                receipt = None
            if receipt is not None:
                return await self._record(entry, receipt)
            if self._clock() - started >= self._patience.give_up_after:
                raise StillPending(
                    f"{entry.intent} is sent but not final (0x{pursuit.latest.hash.hex()}); "
                    "repeat the command to go on waiting; nothing is paid twice"
                )
            await asyncio.sleep(self._patience.poll)

    async def _tend(self) -> None:
        """Pursue what nobody here waits for, once in a while; write down what has ended."""
        if self._clock() - self._tended_at < self._patience.poll:
            return
        self._tended_at = self._clock()
        waiting = await self._journal.do(lambda db: transactions.unfinished(db, self.account))
        orphans = [entry for entry in waiting if entry.id not in self._awaited]
        self._orphans = {
            entry.id: self._orphans.get(entry.id) or _Pursuit(entry, self._tended_at)
            for entry in orphans[:_TENDED]
        }
        for pursuit in list(self._orphans.values()):
            try:
                receipt = await self._pursue(pursuit)
                if receipt is not None:
                    await self._record(pursuit.entry, receipt)
            except NodeUnreachable:
                return
            except ChainError as error:  # it is told to whoever repeats the intent
                log.warning("%s: %s", pursuit.entry.intent, error)

    async def _pursue(self, pursuit: _Pursuit) -> Receipt | None:
        """Look once; send or replace the transaction if it is in no block.

        Return the receipt if it is final.
        """
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
        """Return the receipt of the attempt that was mined, and whether its block is final."""
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
        """Whether a transaction in a final block has the nonce, although none of ours was found."""
        head = await self._chain.head()
        final = head.number - self._chain.confirmations + 1
        return final >= 0 and await self._chain.nonce(self.account, final) > entry.nonce

    async def _give_up(self, entry: Entry) -> NoReturn:
        await self._journal.do(lambda db: transactions.finish(db, entry.id, None))
        raise Displaced(
            f"another program used nonce {entry.nonce} of {self.account}, so that "
            f"{entry.intent} did not happen; check the account, then repeat the command"
        )

    async def _record(self, entry: Entry, receipt: Receipt) -> Receipt:
        await self._journal.do(lambda db: transactions.finish(db, entry.id, receipt))
        if receipt.has_succeeded:
            return receipt
        raise await self._reason(entry, receipt)

    async def _reason(self, entry: Entry, receipt: Receipt) -> Reverted:
        """Find why a contract refused: the receipt does not say, so we run the call once more."""
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
        """Sign the transaction again under its nonce with a higher fee, if the cap leaves room."""
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
        """Send a transaction, whatever the chain node answers.

        The journal has the transaction, and the next look sends it again.
        """
        try:
            await self._chain.send(signed.raw)
        except (NodeUnreachable, NodeRefused, Reverted) as error:
            log.info("0x%s: %s", signed.hash.hex(), error)
