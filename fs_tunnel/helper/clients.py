"""Follows where a provider's clients are, for ``known_endpoints``."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator

from fs_tunnel import control, known_endpoints
from fs_tunnel.errors import FlowShieldError, UsageError
from fs_tunnel.types import Endpoint, PublicKey
from fs_tunnel.uapi import UapiClient

log = logging.getLogger(__name__)

_SAVE_AFTER = 0.5  # seconds in which more may come
_AGAIN_AFTER = 0.5  # seconds, where the engine hung up
_MAX_EVENT_BYTES = 64 << 10


async def keep_endpoints(name: str) -> None:
    """Keep the file of tunnel ``name`` as its engine has it, until cancelled; saved then, too."""
    while True:
        # It is about to end, or we were too slow: what was missed is asked for.
        with contextlib.suppress(FlowShieldError, OSError, ValueError, EOFError):
            await _follow(name)
        await asyncio.sleep(_AGAIN_AFTER)


async def _follow(name: str) -> None:
    async with _events(name) as reader:
        # What changes from here on is told.
        found = {
            peer.public_key: peer.endpoint for peer in UapiClient(name).get().peers if peer.endpoint
        }
        is_saved = False
        try:
            while True:
                try:
                    async with asyncio.timeout(None if is_saved else _SAVE_AFTER):
                        line = await reader.readuntil(b"\n")
                except TimeoutError:
                    known_endpoints.save(name, found)
                    is_saved = True
                    continue
                moved = _parse_event(line)
                if moved is not None:
                    found[moved[0]] = moved[1]
                    is_saved = False
        finally:
            if not is_saved:
                known_endpoints.save(name, found)


@contextlib.asynccontextmanager
async def _events(name: str) -> AsyncIterator[asyncio.StreamReader]:
    """The events of an engine, whose first line is the reply."""
    reader, writer = await asyncio.open_unix_connection(
        control.socket_path(name), limit=_MAX_EVENT_BYTES
    )
    try:
        writer.write(b'{"op": "watch"}\n')
        await reader.readuntil(b"\n")
        yield reader
    finally:
        writer.close()


def _parse_event(line: bytes) -> tuple[PublicKey, Endpoint] | None:
    event = json.loads(line)
    if event.get("event") != "endpoint_moved":
        return None
    try:
        return PublicKey.from_base64(event["peer"]), Endpoint.parse(event["endpoint"])
    except UsageError:
        return None
