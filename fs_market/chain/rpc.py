# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""JSON-RPC 2.0 with a chain node over HTTP. We do not trust the answers.

Every request may be repeated. Most only read; and a chain takes a signed transaction only once.
So a request is repeated if the chain node does not answer.

aiohttp takes a third of a second to import, so ``Chain`` imports this module only when needed.
"""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from fs_market.chain.answers import check_depth_untrusted, data_in_message_untrusted, data_untrusted
from fs_market.chain.reverts import explain
from fs_market.errors import MalformedAnswer, NodeRefused, NodeUnreachable, Reverted
from fs_wire.errors import UsageError
from fs_wire.failure import REJECTED

_MAX_ANSWER = 32 << 20  # bytes
_CODE_REVERTED = 3  # of geth, and of chain nodes that follow it


class Rpc:
    """Sends requests to one chain node, between ``open`` and ``close``.

    An attempt takes at most ``timeout`` seconds, and a request has up to ``attempts``.  The
    constructor raises UsageError if ``url`` is not http:// or https://.
    """

    def __init__(self, url: str, *, timeout: float, attempts: int) -> None:
        self.node = _name_of(url)
        self.attempts = attempts
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._numbers = itertools.count(1)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the HTTP session; the first request connects."""
        self._session = aiohttp.ClientSession(
            response_class=_BoundedResponse,
            raise_for_status=True,
            timeout=self._timeout,
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(self, method: str, *params: Any) -> Any:
        """Return the result of a method, as JSON gave it.

        Raise NodeUnreachable, MalformedAnswer, NodeRefused or Reverted.
        """
        answer = await self._repeat(lambda: self._post(method, params))
        if not isinstance(answer, dict) or ("result" in answer) == ("error" in answer):
            raise MalformedAnswer(f"{self.node} does not speak JSON-RPC; use another chain node")
        if "error" in answer:
            raise _failure(self.node, answer["error"])
        return answer["result"]

    async def _post(self, method: str, params: Sequence[Any]) -> Any:
        """Send one request, and return the whole answer as JSON gave it."""
        if self._session is None:
            raise RuntimeError("open() comes before the first request")
        number = next(self._numbers)
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
        async with self._session.post(self._url, json=request) as response:
            return json.loads(str(await response.read(), "utf-8"))

    async def _repeat(self, request: Callable[[], Awaitable[Any]]) -> Any:
        for attempt in range(1, self.attempts + 1):
            try:
                return await request()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if attempt == self.attempts:
                    raise NodeUnreachable(
                        f"{self.node} {_describe(error)}; check that it runs, or name another "
                        "chain node (--rpc, or rpc in market.toml)"
                    ) from None
            except (json.JSONDecodeError, UnicodeDecodeError):
                raise MalformedAnswer(
                    f"{self.node} does not speak JSON-RPC; use another chain node"
                ) from None
            await asyncio.sleep(0.1 * 2**attempt)
        raise AssertionError("unreachable")


class _BoundedResponse(aiohttp.ClientResponse):
    """An answer over HTTP whose size is limited."""

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


def _describe(error: Exception) -> str:
    """What went wrong, in our own words: the error's text holds the URL, which may hold a key."""
    match error:
        case aiohttp.ClientResponseError():
            return f"answers with HTTP status {error.status}, which no chain node does"
        case aiohttp.ClientConnectorError() if error.os_error.errno in REJECTED:
            return "cannot be reached from this host (see fs-tunnel lockdown status)"
        case aiohttp.ClientConnectorError():
            return "cannot be reached"
        case TimeoutError():
            return "does not answer in time"
    return "does not answer"


def _failure(node: str, error: Any) -> NodeRefused | Reverted | MalformedAnswer:
    """Translate an error object of JSON-RPC; a contract reverted if the object has data."""
    if not isinstance(error, dict):
        return MalformedAnswer(f"{node} does not speak JSON-RPC; use another chain node")
    raw_code, raw_message = error.get("code"), error.get("message")
    code = raw_code if isinstance(raw_code, int) else 0
    message = raw_message if isinstance(raw_message, str) else ""
    said = "".join(c for c in message[:200] if c.isprintable())
    data = _revert_data(error.get("data"), message)
    if data is not None or code == _CODE_REVERTED or "revert" in message.lower():
        known = explain(data) if data else None
        return Reverted(f"the contract refused: {known or said or 'no reason'}", data or b"")
    if "insufficient funds" in message or "cannot afford" in message:
        return NodeRefused(
            "the account has too little of the chain's coin for gas; send it some", code
        )
    return NodeRefused(f"{node} refused: {said or 'no reason'}; check the chain node", code)


def _revert_data(data: Any, message: str) -> bytes | None:
    """Find the data of a revert.

    Anvil and geth put it into ``data``, some chain nodes nest it once more, and eth-tester writes
    it into its message.
    """
    if isinstance(data, dict):
        data = data.get("data")
    if isinstance(data, str) and data.startswith("0x"):
        return data_untrusted(data)
    return data_in_message_untrusted(message) if "revert" in message else None


def _name_of(url: str) -> str:
    """Return a chain node's name for messages, without user, path or query, which may be secret."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(
            "the chain node's URL does not begin with http:// or https://; correct rpc, or --rpc"
        )
    return f"the chain node at {host}" + (f":{port}" if port else "")
