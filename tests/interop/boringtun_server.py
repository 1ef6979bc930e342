# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Serve WireGuard with mitmproxy_rs, which is BoringTun and a TCP stack, without a TUN.

The process reads its task as JSON from stdin, so no key is on the command line. It says ``ready``.
Then it echoes every TCP stream, whatever address inside the tunnel the stream goes to.
"""

import asyncio
import json
import sys

from mitmproxy_rs import Stream
from mitmproxy_rs.wireguard import start_wireguard_server


async def main() -> None:
    """Serve until the process is ended."""
    task = json.load(sys.stdin)
    server = await start_wireguard_server(
        task["host"], task["port"], task["private"], [task["public"]], echo, echo
    )
    print("ready", flush=True)
    await server.wait_closed()


async def echo(stream: Stream) -> None:
    while data := await stream.read(65536):
        stream.write(data)
        await stream.drain()
    stream.close()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    asyncio.run(main())
