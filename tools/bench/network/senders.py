# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Many peers of a full node in one process: they connect, wait for a line, and send heartbeats."""

import sys
from pathlib import Path
from typing import Any

import cbor2
import trio
from libp2p import new_host
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr

from fs_net.host_process.streams import MESSAGES

_AT_ONCE = 8  # peers that dial at the same time


async def main(address: str, said: list[list[bytes]]) -> None:
    """Run until killed."""
    full = info_from_p2p_addr(Multiaddr(address))
    streams: list[Any] = []
    dialling = trio.CapacityLimiter(_AT_ONCE)

    async def live(task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        listen = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
        host = new_host(listen_addrs=listen)
        async with host.run(listen_addrs=listen):
            async with dialling:
                await host.connect(full)
                streams.append(await host.new_stream(full.peer_id, [MESSAGES]))
            task_status.started()
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for _ in said:
            await nursery.start(live)
        print("ready", flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        for stream, messages in zip(streams, said, strict=True):
            nursery.start_soon(_send, stream, messages)


async def _send(stream: Any, messages: list[bytes]) -> None:
    for message in messages:
        await stream.write(len(message).to_bytes(4, "big") + message)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], cbor2.loads(Path(sys.argv[2]).read_bytes()))
