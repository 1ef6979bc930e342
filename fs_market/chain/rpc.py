"""JSON-RPC with a chain's node: web3.py carries the requests, and its answers are not believed.

Every request may be repeated: those that read, and that which sends, since a transaction is sent as
signed bytes, which a chain takes once. So a request is tried again where the node did not answer.

web3 and aiohttp take most of a second to import: ``Chain`` imports this where it is made.
"""

import ast
import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from web3 import AsyncHTTPProvider
from web3.types import RPCEndpoint

from fs_market.chain.answers import check_depth_untrusted, data_untrusted
from fs_market.chain.reverts import explain
from fs_market.errors import MalformedAnswer, NodeRefused, NodeUnreachable, Reverted
from fs_wire.errors import UsageError

_MAX_ANSWER = 32 << 20  # bytes
_CODE_REVERTED = 3  # of geth, and of those who follow it
_BYTES_IN_MESSAGE = re.compile(r"""b(['"]).*\1""", re.DOTALL)


class Rpc:
    """Requests to one node, between ``open`` and ``close``.

    A request takes at most ``timeout`` seconds, and ``attempts`` are made. UsageError where ``url``
    is none of a node.
    """

    def __init__(self, url: str, *, timeout: float, attempts: int) -> None:
        self.node = _name_of(url)
        self.attempts = attempts
        limit = aiohttp.ClientTimeout(total=timeout)
        # Its own repetition is off: it would repeat some methods only.
        self._provider = AsyncHTTPProvider(
            url, {"timeout": limit}, exception_retry_configuration=None
        )

    async def open(self) -> None:
        session = aiohttp.ClientSession(
            response_class=_BoundedResponse,
            raise_for_status=True,
        )
        await self._provider.cache_async_session(session)

    async def close(self) -> None:
        await self._provider.disconnect()

    async def ask(self, method: str, *params: Any) -> Any:
        """The result of a method.

        Raises NodeUnreachable, MalformedAnswer, NodeRefused or Reverted.
        """
        answer = await self._repeat(
            lambda: self._provider.make_request(RPCEndpoint(method), list(params))
        )
        if not isinstance(answer, dict) or ("result" in answer) == ("error" in answer):
            raise MalformedAnswer(f"{self.node} does not speak JSON-RPC; use another node")
        if "error" in answer:
            raise _failure(self.node, answer["error"])
        return answer["result"]

    async def _repeat(self, request: Callable[[], Awaitable[Any]]) -> Any:
        for attempt in range(1, self.attempts + 1):
            try:
                return await request()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if attempt == self.attempts:
                    # Its class only: its text holds the URL, and the URL may hold a key.
                    raise NodeUnreachable(
                        f"{self.node} does not answer ({type(error).__name__}); "
                        "look whether it runs, or name another with --rpc"
                    ) from None
            except (json.JSONDecodeError, UnicodeDecodeError):
                raise MalformedAnswer(
                    f"{self.node} does not speak JSON-RPC; use another node"
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
