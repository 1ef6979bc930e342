# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A conversation with an agent that a command started, in lines of JSON each way.

The agent speaks to strangers, and whoever takes it over can say anything here. So a line has a
bounded length, and the caller checks what it says.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fs_market.errors import MarketError
from fs_tunnel.helper.starts import AGENT, agent_input
from fs_tunnel.roles.starts import CODEC, AgentStart
from fs_wire.failure import printable

_MAX_LINE = 1 << 20  # bytes


class Conversation:
    """One agent: its words, and our answers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def say(self, said: dict[str, Any]) -> None:
        """Tell the agent something."""
        self.write(json.dumps(said).encode() + b"\n")

    def write(self, lines: bytes) -> None:
        """Hand the agent whole lines."""
        assert self._process.stdin is not None
        self._process.stdin.write(lines)

    async def hear(self) -> AsyncIterator[dict[str, Any]]:
        """The agent's words until it ends; MarketError if it fails or talks nonsense."""
        assert self._process.stdout is not None
        try:
            while line := await self._process.stdout.readline():
                said = json.loads(line)
                if not isinstance(said, dict):
                    raise senseless()
                if isinstance(error := said.get("error"), str):
                    raise MarketError(printable(error))
                yield said
        except (ValueError, RecursionError):  # too long, or no JSON
            raise senseless() from None


@asynccontextmanager
async def conversation(
    start: AgentStart, sockets: Mapping[str, int] | None = None
) -> AsyncIterator[Conversation]:
    """Start an agent, which ends with the block; it inherits the descriptors in ``sockets``."""
    inherited = dict(sockets or {})
    process = await asyncio.create_subprocess_exec(
        *AGENT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        pass_fds=tuple(inherited.values()),
        limit=_MAX_LINE,
    )
    try:
        talk = Conversation(process)
        talk.write(agent_input(CODEC.to_line(start), inherited))
        yield talk
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def senseless() -> MarketError:
    """The error for words that none of our agents says."""
    return MarketError("the agent makes no sense; see the system's log, and run the command again")
