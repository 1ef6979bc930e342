# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Two peers on one link find each other by multicast DNS, without any other address."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from fs_net.bridge import Settings
from fs_net.host import Host
from tests.net.test_host import Program
from tests.net.world import NETWORK
from tests.netns.topology import Namespace, pair
from tools.testing import patience


@pytest.mark.netns
def test_neighbours_find_each_other(tmp_path: Path) -> None:
    async def start(namespace: Namespace, name: str) -> Host:
        listen = ("/ip4/0.0.0.0/tcp/0",)
        settings = Settings(
            str(tmp_path / name), NETWORK, listen, is_full_node=True, finds_local_peers=True
        )
        host = Host(settings, Program())
        with ExitStack() as stack:
            stack.enter_context(namespace.entered())
            await host.start()
        return host

    async def scene(alices: Namespace, bobs: Namespace) -> None:
        alice = await start(alices, "alice")
        bob = await start(bobs, "bob")
        try:
            async with asyncio.timeout(patience.seconds(30)):
                while bob.peer not in (await alice.info())["connected"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        finally:
            await alice.close()
            await bob.close()

    with pair() as net:
        asyncio.run(scene(net.alice, net.bob))
