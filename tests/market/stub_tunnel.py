# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Two engines and the traffic between them, in a process that outlives both agents.

Agents ask each engine over a socket, as ``fs_tunnel.roles.metering`` asks the real one. The credit
is enforced.
"""

import asyncio
import contextlib
import json
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fs_market.core.money.accounting import ANY
from fs_tunnel.roles.metering import EngineLink

ENDS = ("provider", "client")


@dataclass
class _End:
    """One engine's view of its peer, the other side."""

    is_present: bool = False
    used: int = 0
    credit: int = ANY
    low: int = 0
    was_told: bool = False
    peer: str = ""
    watchers: list[asyncio.StreamWriter] = field(default_factory=list)

    def room(self) -> int:
        if not self.is_present:
            return 0
        return 2**62 if self.credit == ANY else max(0, self.credit - self.used)

    def tell(self) -> None:
        """Tell the agent once for each limit, as the engine does."""
        if self.credit == ANY or self.was_told or self.credit - self.used >= self.low:
            return
        self.was_told = True
        for each in self.watchers:
            told = json.dumps({"event": "credit_low", "peer": self.peer})
            each.write(told.encode() + b"\n")


class StubTunnel:
    """Passes ``left`` bytes to the client, as far as both engines permit."""

    def __init__(self, left: int) -> None:
        self.left, self.passed = left, 0
        self.ends = {name: _End() for name in ENDS}
        self.ends["client"].is_present = True

    async def serve(self, folder: Path) -> None:
        """Serve until killed."""
        for name in ENDS:

            async def converse(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = name
            ) -> None:
                with contextlib.suppress(ConnectionError):  # the agent was killed
                    while line := await reader.readline():
                        if answer := self._answer(name, json.loads(line), writer):
                            writer.write(json.dumps(answer).encode() + b"\n")

            await asyncio.start_unix_server(converse, folder / f"{name}.engine")
        (folder / "engines").touch()
        await asyncio.Event().wait()

    def _answer(
        self, name: str, asked: dict[str, Any], writer: asyncio.StreamWriter
    ) -> dict[str, Any] | None:
        end = self.ends[name]
        end.peer = asked.get("peer", end.peer)
        match asked["op"]:
            case "watch":
                end.watchers.append(writer)
                return None
            case "admit" if not end.is_present:
                self.ends[name] = _End(True, credit=1, peer=end.peer, watchers=end.watchers)
            case "remove":
                self.ends[name] = _End(watchers=end.watchers)
            case "limit":
                end.credit, end.low, end.was_told = asked["credit"], asked["credit_low"], False
            case "count":
                up, down = (end.used, 0) if name == "client" else (0, end.used)
                return {"ok": True, "rx_bytes": up, "tx_bytes": down, "passed": self.passed}
        self._flow()
        return {"ok": True}

    def _flow(self) -> None:
        ends = self.ends.values()
        moved = min(self.left, *(end.room() for end in ends))
        self.left -= moved
        self.passed += moved
        for end in ends:
            end.used += moved
        for end in ends:
            end.tell()


async def link(folder: Path, end: str) -> EngineLink:
    """Connect an agent to its engine."""
    sockets = {}
    for use in ("control", "events"):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(folder / f"{end}.engine"))
        sock.setblocking(False)
        sockets[use] = sock
    engine = EngineLink()
    await engine.open(sockets)
    return engine
