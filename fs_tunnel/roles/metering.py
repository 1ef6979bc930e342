# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The engine as ``fs_market`` wants it, over sockets that root connected for an agent.

The sockets break when the engine ends. The agent then ends too, and the helper starts it again with
other sockets.
"""

import asyncio
import contextlib
import json
import socket
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fs_market.errors import EngineRefused
from fs_wire.patience import patient
from fs_wire.types import Endpoint, IPAddress, PublicKey

_MAX_LINE = 1 << 20  # bytes
_PATIENCE = patient(10.0)  # seconds for an answer


class EngineLink:
    """See ``fs_market.ports.Engine``."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[dict[str, Any]]] = deque()
        self._reading: asyncio.Task[None] | None = None
        self._has_ended = False
        self._observed: dict[Endpoint, Endpoint] = {}  # by server of STUN
        self._has_observed = asyncio.Event()

    async def open(self, sockets: dict[str, socket.socket]) -> None:
        """Use the connections that ``helper.engine_sockets`` made."""
        streams = {}
        for use, sock in sockets.items():
            streams[use] = await asyncio.open_unix_connection(sock=sock, limit=_MAX_LINE)
        self._control, self._events = streams["control"], streams["events"]
        self._reading = asyncio.create_task(self._read_replies())

    async def close(self) -> None:
        """Hang up, which ends ``low_credits``."""
        for _, writer in (self._control, self._events):
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def add_peer(self, peer: PublicKey, addresses: tuple[IPAddress, ...]) -> None:
        inside = [str(each) for each in addresses]
        await self._ask({"op": "admit", "peer": peer.to_base64(), "addresses": inside})

    async def remove_peer(self, peer: PublicKey) -> None:
        await self._ask({"op": "remove", "peer": peer.to_base64()})

    async def count(self, peer: PublicKey) -> tuple[int, int]:
        reply = await self._ask({"op": "count", "peer": peer.to_base64()})
        return int(reply["rx_bytes"]), int(reply["tx_bytes"])

    async def limit(
        self, peer: PublicKey, *, credit: int, credit_low: int, exempt: Endpoint | None, rate: int
    ) -> None:
        limits: dict[str, Any] = {"credit": credit, "credit_low": credit_low}
        limits |= {"rx_rate": rate, "tx_rate": rate} if rate else {}
        limits |= {"exempt": str(exempt)} if exempt is not None else {}
        await self._ask({"op": "limit", "peer": peer.to_base64(), **limits})

    async def low_credits(self) -> AsyncIterator[PublicKey]:
        reader, writer = self._events
        writer.write(b'{"op": "watch"}\n')
        while line := await reader.readline():
            told = json.loads(line)
            if told.get("event") == "credit_low":
                yield PublicKey.from_base64(told["peer"])
            elif told.get("event") == "observed":
                self._observed[Endpoint.parse(told["server"])] = Endpoint.parse(told["endpoint"])
                self._has_observed.set()
        raise ConnectionResetError("the engine ended, or this agent read its events too slowly")

    async def observe(self, servers: Sequence[Endpoint], within: float) -> dict[Endpoint, Endpoint]:
        """The tunnel's endpoint as each server sees it that answers in time.

        ``low_credits`` must be running, because it hears the answers.
        """
        self._observed = {}
        await self._ask({"op": "observe", "servers": list(map(str, servers))})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while len(self._observed) < len(servers):
                    self._has_observed.clear()
                    await self._has_observed.wait()
        return self._observed

    async def endpoint_of(self, peer: PublicKey) -> Endpoint | None:
        """The endpoint to which the engine sends a peer's packets; None if it knows none."""
        told = (await self._ask({"op": "status"}))["peers"].get(peer.to_base64(), {})
        return Endpoint.parse(told["endpoint"]) if told.get("endpoint") else None

    async def call(self, peer: PublicKey, endpoints: Sequence[Endpoint]) -> bool:
        """Send an initiation to all these endpoints, unless a session is fresh.

        It returns whether one is.
        """
        reply = await self._ask(
            {"op": "call", "peer": peer.to_base64(), "endpoints": list(map(str, endpoints))}
        )
        return bool(reply["has_session"])

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._has_ended:
            raise ConnectionResetError("the engine ended")
        answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append(answered)
        self._control[1].write(json.dumps(request).encode() + b"\n")
        async with asyncio.timeout(_PATIENCE):
            reply = await answered
        if reply.get("ok") is not True:
            raise EngineRefused(f"the engine refused {request['op']}: {reply.get('error')}")
        return reply

    async def _read_replies(self) -> None:
        reader = self._control[0]
        try:
            while line := await reader.readline():
                answered = self._waiting.popleft()
                if not answered.done():
                    answered.set_result(json.loads(line))
        finally:
            self._has_ended = True
            for each in self._waiting:
                if not each.done():
                    each.set_exception(ConnectionResetError("the engine ended"))
