# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A process that serves WireGuard with mitmproxy_rs: BoringTun and a TCP stack, without a TUN.

Reads its task as JSON from stdin, so that no key is on the command line; says ``ready``; echoes
every TCP stream to any address inside the tunnel.
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
