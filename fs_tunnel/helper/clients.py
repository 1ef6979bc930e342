# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Keeps the endpoints of a provider's clients up to date, for ``known_endpoints``."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from fs_tunnel import known_endpoints
from fs_wire import control
from fs_wire.errors import UsageError
from fs_wire.types import Endpoint, PublicKey

_SAVE_AFTER = 0.5  # seconds; more endpoints may change in that time
_AGAIN_AFTER = 0.5  # seconds after the engine hung up
_MAX_MESSAGE_BYTES = 64 << 20


async def keep_endpoints(name: str) -> None:
    """Keep the file of tunnel ``name`` up to date until cancelled, and then save it once more."""
    while True:
        # The engine is about to end, or we were too slow. Ask again for what we missed.
        with contextlib.suppress(OSError, ValueError, EOFError):
            await _follow(name)
        await asyncio.sleep(_AGAIN_AFTER)


async def _follow(name: str) -> None:
    found: dict[PublicKey, Endpoint] = {}
    is_saved = True
    async with _messages(name) as reader:
        try:
            while True:
                try:
                    async with asyncio.timeout(None if is_saved else _SAVE_AFTER):
                        line = await reader.readuntil(b"\n")
                except TimeoutError:
                    known_endpoints.save(name, found)
                    is_saved = True
                    continue
                told = endpoints_told(json.loads(line))
                if told:
                    found |= told
                    is_saved = False
        finally:
            if not is_saved:
                known_endpoints.save(name, found)


def endpoints_told(message: control.Message) -> dict[PublicKey, Endpoint]:
    """The endpoints in a status, or the one in an event."""
    if message.get("event") == "endpoint_moved":
        peers = {message["peer"]: message}
    else:
        peers = message.get("peers", {})
    found = {}
    for key, peer in peers.items():
        if peer["endpoint"] is not None:
            with contextlib.suppress(UsageError):
                found[PublicKey.from_base64(key)] = Endpoint.parse(peer["endpoint"])
    return found


@contextlib.asynccontextmanager
async def _messages(name: str) -> AsyncIterator[asyncio.StreamReader]:
    """An engine's messages: its status, and then each change."""
    reader, writer = await asyncio.open_unix_connection(
        control.socket_path(name), limit=_MAX_MESSAGE_BYTES
    )
    try:
        # Watch first, so that no change is missed.
        writer.write(b'{"op": "watch"}\n{"op": "status"}\n')
        yield reader
    finally:
        writer.close()
