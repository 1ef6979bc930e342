# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider's agent with a simulated engine: ``python -m`` this module, and a folder.

Sockets, signatures and the journal on disk are real. The agent prints its port. When its input
ends, it prints the processor time that it used.
"""

import asyncio
import os
import sys
import time
from ipaddress import ip_address
from pathlib import Path

import uvloop

from fs_market.core.money.accounting import Increment
from fs_market.core.session.offers import ProviderConfig
from fs_market.core.session.places import Place
from fs_market.core.wire.channels import ChannelStatus
from fs_market.journal import Journal
from fs_market.session.provider_agent import ProviderAgent
from fs_market.session.provider_sessions import Lodging
from fs_wire.types import Endpoint, PublicKey
from tests.market.played import PlayedChain, PlayedEngine
from tools.bench.market.terms import DEPOSIT, DOMAIN, NODE, PAYEE, PRICE, TOKEN

_MIB = 1 << 20
_PLACES = 8192
_FIRST = int(ip_address("10.64.0.2"))


class _EveryChannel(PlayedChain):
    """A chain on which every channel exists."""

    async def status(self, channel: bytes) -> ChannelStatus | None:  # noqa: ARG002
        return ChannelStatus(DEPOSIT, is_final=True)


async def main(folder: Path) -> None:
    config = ProviderConfig(
        *(DOMAIN, TOKEN, PAYEE, NODE, PRICE, Increment(_MIB, 5, 64 * _MIB, 30)),
        tolerance_ppm=10_000,
        close_window=3600,
        min_deposit=1,
        quote_seconds=900,
    )

    def place(number: int) -> Place:
        return Place(
            wireguard_key=PublicKey(bytes(32)),
            endpoint=Endpoint("192.0.2.1", 51820),
            addresses=(ip_address(_FIRST + number),),
            dns=(),
            gateway=ip_address("127.0.0.1"),
            payment_port=4701,
            mtu=1420,
        )

    async with Journal(folder / "provider.journal", bytes(32)) as books:
        agent = ProviderAgent(
            *(config, Lodging(_PLACES, place), PlayedEngine(), books),
            _EveryChannel(),  # type: ignore[arg-type] # it only has to answer like a chain
            entropy=os.urandom,
        )
        server = await asyncio.start_server(agent.converse, "127.0.0.1", 0, backlog=4096)
        running = asyncio.create_task(agent.run())
        print(server.sockets[0].getsockname()[1], flush=True)
        for _ in range(2):  # at the start of the measurement, and at its end
            await asyncio.to_thread(sys.stdin.readline)
            print(time.process_time(), flush=True)
        running.cancel()
        agent.hang_up()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
