# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A chain as one chain node tells it; every answer is checked."""

import re
from collections.abc import Sequence
from typing import Any, Self

from fs_market.chain.answers import (
    Block,
    Log,
    Receipt,
    block_untrusted,
    data_untrusted,
    logs_untrusted,
    quantity_untrusted,
    receipt_untrusted,
    tips_untrusted,
)
from fs_market.core.wire.ethereum import HASH_LEN, Address, keccak
from fs_market.errors import MalformedAnswer, NodeRefused, WrongChain

_TIP_BLOCKS, _TIP_PERCENTILE = 10, 50
_CODE_METHOD_NOT_FOUND = -32601
_KNOWN = re.compile("already known|already imported|known transaction", re.IGNORECASE)


class Chain:
    """One chain through one chain node; use it in ``async with``.

    A block is final when the chain has ``confirmations`` blocks from it on, itself included; the
    user chooses that number.  A request takes at most ``timeout`` seconds for each attempt, and has
    up to ``attempts``.  Every method raises NodeUnreachable, MalformedAnswer or NodeRefused.  A
    method that runs code on the chain raises Reverted, too.
    """

    def __init__(
        self,
        url: str,
        chain_id: int,
        *,
        confirmations: int,
        timeout: float = 10.0,
        attempts: int = 4,
    ) -> None:
        # aiohttp takes long to import, and a command without a chain should not wait for it.
        from fs_market.chain.rpc import Rpc  # noqa: PLC0415

        self._rpc = Rpc(url, timeout=timeout, attempts=attempts)
        self.chain_id, self.confirmations = chain_id, confirmations
        self.genesis = b""

    async def __aenter__(self) -> Self:
        """Connect; raise WrongChain if the chain node serves another chain."""
        await self._rpc.open()
        try:
            found = quantity_untrusted(await self._rpc.ask("eth_chainId"), 64)
            if found != self.chain_id:
                raise WrongChain(
                    f"{self._rpc.node} serves chain {found}, not {self.chain_id}; "
                    "name a chain node of the right chain"
                )
            first = await self.block(0)
            if first is None:
                raise self._foreign("chain")
            self.genesis = first.hash
        except BaseException:
            await self._rpc.close()
            raise
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._rpc.close()

    async def head(self) -> Block:
        """Return the latest block."""
        return block_untrusted(await self._rpc.ask("eth_getBlockByNumber", "latest", False))

    async def block(self, number: int) -> Block | None:
        """Return the block with this number; None if the chain node does not have it."""
        answer = await self._rpc.ask("eth_getBlockByNumber", hex(number), False)
        if answer is None:
            return None
        block = block_untrusted(answer)
        if block.number != number:
            raise self._foreign("block")
        return block

    async def nonce(self, account: Address, block: int | None = None) -> int:
        """Return how many transactions of an account were mined up to ``block``.

        Without a block, transactions that wait to be mined count, too.
        """
        when = "pending" if block is None else hex(block)
        return quantity_untrusted(
            await self._rpc.ask("eth_getTransactionCount", str(account), when), 64
        )

    async def balance(self, account: Address) -> int:
        """Return the native coin of an account, in wei."""
        return quantity_untrusted(await self._rpc.ask("eth_getBalance", str(account), "latest"))

    async def code(self, account: Address) -> bytes:
        """Return the code at an address; it is empty if there is no contract."""
        return data_untrusted(await self._rpc.ask("eth_getCode", str(account), "latest"))

    async def logs(
        self, first: int, last: int, addresses: Sequence[Address], topics: Sequence[bytes]
    ) -> tuple[Log, ...]:
        """Return the logs of ``addresses`` from block ``first`` to ``last``, in their order.

        The first topic of each log is one of ``topics``.
        """
        found = await self._logs({"fromBlock": hex(first), "toBlock": hex(last)}, addresses, topics)
        if any(not first <= log.block_number <= last for log in found):
            raise self._foreign("logs")
        return found

    async def logs_of(
        self, block: Block, addresses: Sequence[Address], topics: Sequence[bytes]
    ) -> tuple[Log, ...]:
        """Return the logs of ``addresses`` in this very block (EIP-234).

        Raise NodeRefused if the chain took the block back.
        """
        found = await self._logs({"blockHash": _hex(block.hash)}, addresses, topics)
        if any(log.block_hash != block.hash for log in found):
            raise self._foreign("logs")
        return found

    async def _logs(
        self, where: dict[str, Any], addresses: Sequence[Address], topics: Sequence[bytes]
    ) -> tuple[Log, ...]:
        wanted = {
            "address": [str(each) for each in addresses],
            "topics": [[_hex(each) for each in topics]],
        }
        found = logs_untrusted(await self._rpc.ask("eth_getLogs", where | wanted))
        if any(
            log.address not in addresses or not log.topics or log.topics[0] not in topics
            for log in found
        ):
            raise self._foreign("logs")
        return tuple(sorted(found, key=lambda log: (log.block_number, log.index)))

    async def tips(self) -> list[int]:
        """Return the tips of recent transactions, in wei per gas; the list may be empty."""
        try:
            return tips_untrusted(
                await self._rpc.ask("eth_feeHistory", hex(_TIP_BLOCKS), "latest", [_TIP_PERCENTILE])
            )
        except NodeRefused as error:
            if error.code == _CODE_METHOD_NOT_FOUND:
                return []
            raise

    async def call(
        self, to: Address, data: bytes, *, sender: Address | None = None, block: int | None = None
    ) -> bytes:
        """Run a function without a transaction, and return its raw result."""
        request = {"to": str(to), "data": _hex(data)}
        if sender is not None:
            request["from"] = str(sender)
        return data_untrusted(
            await self._rpc.ask("eth_call", request, "latest" if block is None else hex(block))
        )

    async def estimate_gas(
        self, sender: Address, to: Address | None, data: bytes, value: int = 0
    ) -> int:
        """Return the gas that a transaction would take if it were mined next."""
        request = {"from": str(sender), "data": _hex(data), "value": hex(value)}
        if to is not None:
            request["to"] = str(to)
        return quantity_untrusted(await self._rpc.ask("eth_estimateGas", request), 64)

    async def send(self, raw: bytes) -> None:
        """Send a signed transaction; nothing happens if the chain node has it already."""
        expected = keccak(raw)
        try:
            answer = await self._rpc.ask("eth_sendRawTransaction", _hex(raw))
        except NodeRefused as error:
            if _KNOWN.search(str(error)):
                return
            raise
        if data_untrusted(answer, HASH_LEN) != expected:
            raise self._foreign("transaction")

    async def receipt(self, transaction_hash: bytes) -> Receipt | None:
        """Return the receipt of a transaction; None while it is in no block."""
        answer = await self._rpc.ask("eth_getTransactionReceipt", _hex(transaction_hash))
        if answer is None:
            return None
        receipt = receipt_untrusted(answer)
        if receipt.transaction_hash != transaction_hash:
            raise self._foreign("receipt")
        return receipt

    def _foreign(self, what: str) -> MalformedAnswer:
        return MalformedAnswer(
            f"{self._rpc.node} answered with a foreign {what}; use another chain node"
        )


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
