# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Run a full node's STUN server on each of some addresses; a line of output says that it serves.

python -m tests.netns.stun_server IP...
"""

import asyncio
import sys

from fs_net.fullnode.stun import StunServer


async def serve(addresses: list[str]) -> None:
    servers = [await StunServer.start(each) for each in addresses]
    print("ready", flush=True)
    await asyncio.Event().wait()
    for each in servers:
        each.close()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1:]))
