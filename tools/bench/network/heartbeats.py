# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How many providers one full node carries: heartbeats a second, and the memory for each peer.

Heartbeats are judged in two ways: by calling the function, and as they arrive. In the second case,
peers in another process send them over libp2p, through the network process and into the index.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

import cbor2

from fs_net.bridge import Decision, Settings
from fs_net.core.index import Index
from fs_net.core.judge import Judge
from fs_net.host import Host
from tests.net.world import NETWORK, NOW, Chain, Provider, resident
from tools.bench.figures import Sample

PROVIDERS = 3000
PEERS = 60
EACH = 50  # heartbeats of each peer, sent at once; a peer may send that many
_PATIENCE = 120.0  # s


class FullNode:
    """A judge and an index, for the providers in its chain view."""

    def __init__(self, providers: list[Provider]) -> None:
        self.chain = Chain({each.address: each.listing() for each in providers})
        self.index = Index()
        self.judge = Judge(self.index, self.chain, NETWORK, rate=1e9, burst=1e9)
        self.ended = 0.0

    def on_gossip(self, peer: bytes, topic: str, data: bytes) -> Decision:
        raise AssertionError("no peer sends gossip here")

    def on_message(self, peer: bytes, message: bytes) -> None:
        self.ended = time.monotonic()
        self.judge.heartbeat(peer, message, NOW)

    async def on_question(self, peer: bytes, question: bytes) -> bytes:
        raise AssertionError("no peer asks questions here")


def measure(folder: Path) -> Sample:
    """Measure; AssertionError if peers fail to connect, or over 5 % of the heartbeats are lost."""
    providers = [Provider(number) for number in range(1, PROVIDERS + 1)]
    heartbeats = [each.heartbeat(NOW).raw for each in providers]
    yield "judged", _judged(providers, heartbeats)
    parts = [heartbeats[first : first + EACH] for first in range(0, len(heartbeats), EACH)]
    arrived, kib = asyncio.run(_arrived(folder, FullNode(providers), parts))
    yield "arrived", arrived
    yield "memory_peer", kib


def _judged(providers: list[Provider], heartbeats: list[bytes]) -> float:
    full = FullNode(providers)
    began = time.process_time()
    for raw in heartbeats:
        assert full.judge.heartbeat(b"peer", raw, NOW).said
    return len(heartbeats) / (time.process_time() - began)


async def _arrived(folder: Path, full: FullNode, parts: list[list[bytes]]) -> tuple[float, float]:
    settings = Settings(str(folder / "full"), NETWORK, ("/ip4/127.0.0.1/tcp/0",), (), True)
    host = Host(settings, full)
    await host.start()
    try:
        assert host.pid is not None
        said = folder / "heartbeats.cbor"
        said.write_bytes(cbor2.dumps(parts[:PEERS]))
        address = (await host.info())["addresses"][0]
        before = resident(host.pid)
        peers = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tools.bench.network.senders", address, str(said)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert peers.stdin
        assert peers.stdout
        try:
            async with asyncio.timeout(_PATIENCE):
                assert await peers.stdout.readline(), "the peers did not connect"
                kib = (resident(host.pid) - before) / 1024 / len(parts[:PEERS])
                busy = _cpu(host.pid)
                peers.stdin.write(b"go\n")
                wanted = sum(map(len, parts[:PEERS]))
                while len(full.index.heartbeats) < wanted and (  # noqa: ASYNC110
                    not full.ended or time.monotonic() - full.ended < 3
                ):
                    await asyncio.sleep(0.05)
        finally:
            peers.kill()
            await peers.wait()
        came = len(full.index.heartbeats)
        counters = (await host.info())["counters"]
        assert came > 0.95 * wanted, f"{came} of {wanted} heartbeats arrived: {counters}"
        return came / (_cpu(host.pid) - busy), kib
    finally:
        await host.close()


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a process (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
