"""A chain as its node tells it: web3.py carries the requests, and its answers are not believed.

Every request may be repeated: those that read, and that which sends, since a transaction is sent as
signed bytes, which a chain takes once. So a request is tried again where the node did not answer.
"""

import ast
import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from web3 import AsyncHTTPProvider
from web3.types import RPCEndpoint

from fs_market import RECURSION_LIMIT
from fs_market.answers import (
    Block,
    Log,
    Receipt,
    block_untrusted,
    check_depth_untrusted,
    data_untrusted,
    logs_untrusted,
    quantity_untrusted,
    receipt_untrusted,
    tips_untrusted,
)
from fs_market.core.ethereum import HASH_LEN, Address, keccak
from fs_market.errors import (
    MalformedAnswer,
    NodeRefused,
    NodeUnreachable,
    Reverted,
    WrongChain,
)
from fs_market.reverts import explain
from fs_tunnel.errors import UsageError

sys.setrecursionlimit(RECURSION_LIMIT)

_MAX_ANSWER = 32 << 20  # bytes
_TIP_BLOCKS, _TIP_PERCENTILE = 10, 50
_CODE_METHOD_NOT_FOUND = -32601
_CODE_REVERTED = 3  # of geth, and of those who follow it
_KNOWN = re.compile("already known|already imported|known transaction", re.IGNORECASE)
_BYTES_IN_MESSAGE = re.compile(r"""b(['"]).*\1""", re.DOTALL)


class Chain:
    """One chain through one node, from ``async with`` on.

    A block is final once ``confirmations`` blocks stand, itself counted: the policy of its user.
    Every method raises NodeUnreachable, MalformedAnswer or NodeRefused; what ran code on the chain
    raises Reverted, too. A request takes at most ``timeout`` seconds, and ``attempts`` are made.
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
        self._node = _name_of(url)
        self.chain_id, self.confirmations = chain_id, confirmations
        self._attempts = attempts
        limit = aiohttp.ClientTimeout(total=timeout)
        # Its own repetition is off: it would repeat some methods only.
        self._provider = AsyncHTTPProvider(
            url, {"timeout": limit}, exception_retry_configuration=None
        )
        self.genesis = b""

    async def __aenter__(self) -> Self:
        """Connect; WrongChain where the node serves another chain."""
        session = aiohttp.ClientSession(
            response_class=_BoundedResponse,
            raise_for_status=True,
        )
        await self._provider.cache_async_session(session)
        try:
            found = quantity_untrusted(await self._ask("eth_chainId"), 64)
            if found != self.chain_id:
                raise WrongChain(
                    f"{self._node} serves chain {found}, not {self.chain_id}; "
                    "name the node of the right one"
                )
            first = await self.block(0)
            if first is None:
                raise self._foreign("chain")
            self.genesis = first.hash
        except BaseException:
            await self._provider.disconnect()
            raise
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._provider.disconnect()

    async def head(self) -> Block:
        return block_untrusted(await self._ask("eth_getBlockByNumber", "latest", False))

    async def block(self, number: int) -> Block | None:
        """The block of a number; None where the node has none yet, or took it back."""
        answer = await self._ask("eth_getBlockByNumber", hex(number), False)
        if answer is None:
            return None
        block = block_untrusted(answer)
        if block.number != number:
            raise self._foreign("block")
        return block

    async def nonce(self, account: Address, block: int | None = None) -> int:
        """How many transactions of an account were mined up to a block, or else are known."""
        when = "pending" if block is None else hex(block)
        return quantity_untrusted(
            await self._ask("eth_getTransactionCount", str(account), when), 64
        )

    async def balance(self, account: Address) -> int:
        """The native coin of an account, in wei."""
        return quantity_untrusted(await self._ask("eth_getBalance", str(account), "latest"))

    async def code(self, account: Address) -> bytes:
        return data_untrusted(await self._ask("eth_getCode", str(account), "latest"))

    async def logs(
        self, first: int, last: int, addresses: Sequence[Address], topics: Sequence[bytes]
    ) -> tuple[Log, ...]:
        """What ``addresses`` said from block ``first`` to ``last``: any of ``topics`` first."""
        found = await self._logs({"fromBlock": hex(first), "toBlock": hex(last)}, addresses, topics)
        if any(not first <= log.block_number <= last for log in found):
            raise self._foreign("logs")
        return found

    async def logs_of(
        self, block: Block, addresses: Sequence[Address], topics: Sequence[bytes]
    ) -> tuple[Log, ...]:
        """What they said in this very block (EIP-234); NodeRefused where the chain took it back."""
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
        found = logs_untrusted(await self._ask("eth_getLogs", where | wanted))
        if any(
            log.address not in addresses or not log.topics or log.topics[0] not in topics
            for log in found
        ):
            raise self._foreign("logs")
        return tuple(sorted(found, key=lambda log: (log.block_number, log.index)))

    async def tips(self) -> list[int]:
        """What recent transactions paid above the base fee, in wei per gas; may be empty."""
        try:
            return tips_untrusted(
                await self._ask("eth_feeHistory", hex(_TIP_BLOCKS), "latest", [_TIP_PERCENTILE])
            )
        except NodeRefused as error:
            if error.code == _CODE_METHOD_NOT_FOUND:
                return []
            raise

    async def call(
        self, to: Address, data: bytes, *, sender: Address | None = None, block: int | None = None
    ) -> bytes:
        """Run a function without a transaction."""
        request = {"to": str(to), "data": _hex(data)}
        if sender is not None:
            request["from"] = str(sender)
        return data_untrusted(
            await self._ask("eth_call", request, "latest" if block is None else hex(block))
        )

    async def estimate_gas(
        self, sender: Address, to: Address | None, data: bytes, value: int = 0
    ) -> int:
        """The gas that a transaction would take if it were mined next."""
        request = {"from": str(sender), "data": _hex(data), "value": hex(value)}
        if to is not None:
            request["to"] = str(to)
        return quantity_untrusted(await self._ask("eth_estimateGas", request), 64)

    async def send(self, raw: bytes) -> None:
        """Send a signed transaction; what the node has already is well, too."""
        expected = keccak(raw)
        try:
            answer = await self._ask("eth_sendRawTransaction", _hex(raw))
        except NodeRefused as error:
            if _KNOWN.search(str(error)):
                return
            raise
        if data_untrusted(answer, HASH_LEN) != expected:
            raise self._foreign("transaction")

    async def receipt(self, transaction_hash: bytes) -> Receipt | None:
        """What became of a transaction; None while it is in no block."""
        answer = await self._ask("eth_getTransactionReceipt", _hex(transaction_hash))
        if answer is None:
            return None
        receipt = receipt_untrusted(answer)
        if receipt.transaction_hash != transaction_hash:
            raise self._foreign("receipt")
        return receipt

    def _foreign(self, what: str) -> MalformedAnswer:
        return MalformedAnswer(f"{self._node} answered with a foreign {what}; use another node")

    async def _ask(self, method: str, *params: Any) -> Any:
        answer = await self._repeat(
            lambda: self._provider.make_request(RPCEndpoint(method), list(params))
        )
        if not isinstance(answer, dict) or ("result" in answer) == ("error" in answer):
            raise MalformedAnswer(f"{self._node} does not speak JSON-RPC; use another node")
        if "error" in answer:
            raise _failure(self._node, answer["error"])
        return answer["result"]

    async def _repeat(self, request: Callable[[], Awaitable[Any]]) -> Any:
        for attempt in range(1, self._attempts + 1):
            try:
                return await request()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if attempt == self._attempts:
                    # Its class only: its text holds the URL, and the URL may hold a key.
                    raise NodeUnreachable(
                        f"{self._node} does not answer ({type(error).__name__}); "
                        "look whether it runs, or name another with --rpc"
                    ) from None
            except (json.JSONDecodeError, UnicodeDecodeError):
                raise MalformedAnswer(
                    f"{self._node} does not speak JSON-RPC; use another node"
                ) from None
            await asyncio.sleep(0.1 * 2**attempt)
        raise AssertionError("unreachable")


class _BoundedResponse(aiohttp.ClientResponse):
    """An answer over HTTP of bounded size."""

    async def read(self) -> bytes:
        if self._body is None:
            body = bytearray()
            async for piece in self.content.iter_any():
                body += piece
                if len(body) > _MAX_ANSWER:
                    self.close()
                    raise aiohttp.ClientPayloadError
            check_depth_untrusted(body)
            self._body = bytes(body)
        return self._body


def _failure(node: str, error: Any) -> NodeRefused | Reverted | MalformedAnswer:
    """What an error object of JSON-RPC means: where it carries data, a contract reverted."""
    if not isinstance(error, dict):
        return MalformedAnswer(f"{node} does not speak JSON-RPC; use another node")
    raw_code, raw_message = error.get("code"), error.get("message")
    code = raw_code if isinstance(raw_code, int) else 0
    message = raw_message if isinstance(raw_message, str) else ""
    said = "".join(c for c in message[:200] if c.isprintable())
    data = _revert_data(error.get("data"), message)
    if data is not None or code == _CODE_REVERTED or "revert" in message.lower():
        known = explain(data) if data else None
        return Reverted(f"the contract refused: {known or said or 'no reason'}", data or b"")
    return NodeRefused(f"{node} refused: {said or 'no reason'}; look whether it is well", code)


def _revert_data(data: Any, message: str) -> bytes | None:
    """Anvil and geth put it into ``data``, some nest it once more, eth-tester into its message."""
    if isinstance(data, dict):
        data = data.get("data")
    if isinstance(data, str) and data.startswith("0x"):
        return data_untrusted(data)
    if "revert" in message and (found := _BYTES_IN_MESSAGE.search(message[:4096])):
        try:
            raw = ast.literal_eval(found[0])
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
        return raw if isinstance(raw, bytes) else None
    return None


def _name_of(url: str) -> str:
    """A node's name for messages: without a user, path or query, which may be secret."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError("the node's URL is not http:// or https://; mend rpc, or --rpc")
    return f"the node at {host}" + (f":{port}" if port else "")


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
