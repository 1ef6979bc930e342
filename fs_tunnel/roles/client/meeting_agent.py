# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The client's agent that asks a provider behind a NAT where its tunnel can be called.

The tunnel is up by then and blocks other ways. So the command hands the agent one connection to a
full node, which leads on to the provider. They talk in lines of JSON, and the command begins:

    the command                                     the agent
    {"meet": {"endpoints": [...], "mapping": N}}    {"met": {...}}
    {"leave": true}                                 {"left": BOOL}, and it ends
"""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fs_market.core.money.records import ClientRecord
from fs_market.core.session.client import ClientSession
from fs_market.core.wire.channels import channel_id
from fs_market.errors import MarketError
from fs_market.journal import Journal
from fs_market.session.client_agent import ClientAgent
from fs_market.session.meetings import ask_to_meet
from fs_tunnel.roles.client.buying_agent import Client
from fs_tunnel.roles.client.client_host import Relayed
from fs_tunnel.roles.metering import EngineLink
from fs_tunnel.roles.peer_route import PeerRoute
from fs_tunnel.roles.punching import whereabouts_from_json, whereabouts_to_json
from fs_tunnel.roles.starts import MeetStart
from fs_tunnel.roles.telling import tell

_LEAVE_WITHIN = 10.0  # seconds, for the last voucher
_MAX_LINE = 1 << 16  # bytes
_READ = 1 << 16  # bytes


class Asker(Client):
    """Asks the provider, and ends the session if the command wants that."""

    def __init__(self, start: MeetStart) -> None:
        super().__init__(start.dealing)
        self._relayed = Relayed(start.dealing)
        self._relay = (start.dealing.relay or "").rpartition("/")[2]
        self._provider = start.provider_key

    async def run(self, sockets: dict[str, socket.socket]) -> None:
        """Tell what the provider says; MarketError if it says nothing."""
        engine_sockets = {use: sockets[use] for use in ("control", "events")}
        async with (
            Journal(self.books, self.genesis) as journal,
            _led_on(sockets["relay"]) as port,
            self._relayed.route([f"/ip4/127.0.0.1/tcp/{port}/p2p/{self._relay}"]) as route,
        ):
            record = await self.record(journal)
            if record is None or record.is_over:
                raise MarketError("the journal has no session; run fs-tunnel up again")
            while line := await asyncio.to_thread(sys.stdin.buffer.readline, _MAX_LINE):
                match json.loads(line):
                    case {"meet": dict(ours)}:
                        await self._meet(route, record, ours)
                    case {"leave": True}:
                        left = await self._leave(route, record, journal, engine_sockets)
                        tell({"left": left})
                        return

    async def _meet(self, route: PeerRoute, record: ClientRecord, ours: dict[str, Any]) -> None:
        config = self.config
        theirs = await ask_to_meet(
            *(route, config.domain, config.session_key, record.quote.terms.node),
            channel_id(config.domain, record.terms),
            whereabouts_from_json(ours),
        )
        tell({"met": whereabouts_to_json(theirs)})

    async def _leave(
        self,
        route: PeerRoute,
        record: ClientRecord,
        journal: Journal,
        sockets: dict[str, socket.socket],
    ) -> bool:
        """Whether the provider heard that the session is over. If so, it closes the channel."""
        engine = EngineLink()
        await engine.open(sockets)
        agent = ClientAgent(ClientSession(self.config, record), journal)
        try:
            async with asyncio.timeout(_LEAVE_WITHIN):
                await agent.leave(route, engine, self._provider)
        except (OSError, TimeoutError):
            return False
        return True


@asynccontextmanager
async def _led_on(sock: socket.socket) -> AsyncIterator[int]:
    """A local port that takes one connection and passes its bytes on to ``sock``."""
    far = await asyncio.open_connection(sock=sock)

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.close()
        try:
            await asyncio.gather(_pump(reader, far[1]), _pump(far[0], writer))
        finally:
            writer.close()

    server = await asyncio.start_server(lead, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        far[1].close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_READ):
            writer.write(data)
            await writer.drain()
    writer.close()
