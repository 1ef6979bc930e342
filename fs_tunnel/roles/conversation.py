"""A conversation with an agent that a command starts: lines of JSON, each way.

The agent speaks to strangers; whoever took it over may say anything here, so that lines have a
bound, and what stands in them is for the caller to check.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fs_market.errors import MarketError

# -P: not from the directory that root happens to stand in.
_AGENT = (sys.executable, "-P", "-m", "fs_tunnel.roles.agent")
_MAX_LINE = 1 << 20  # bytes


class Conversation:
    """What the agent says, and answers to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def say(self, said: dict[str, Any]) -> None:
        """Tell the agent something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(said).encode() + b"\n")

    async def hear(self) -> AsyncIterator[dict[str, Any]]:
        """What it says, until it ends; MarketError where it fails, or makes no sense."""
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
    start: dict[str, Any], pass_fds: tuple[int, ...] = ()
) -> AsyncIterator[Conversation]:
    """Start an agent by ``start``, as a file of root's would have it; it ends with the block.

    ``pass_fds`` are the descriptors of its ``sockets``.
    """
    process = await asyncio.create_subprocess_exec(
        *_AGENT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        pass_fds=pass_fds,
        limit=_MAX_LINE,
    )
    try:
        talk = Conversation(process)
        talk.say({**start, "parent": os.getpid()})
        yield talk
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def senseless() -> MarketError:
    """What is raised where an agent says what none of ours would."""
    return MarketError("the agent makes no sense; see the system's log, and repeat")


def printable(text: str, most: int = 1000) -> str:
    """Of a text that a stranger may have written, what a terminal can be shown."""
    return "".join(each if each.isprintable() else "?" for each in text[:most])
