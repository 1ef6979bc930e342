# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""API and page over data that a real full node gathered."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from fs_net.fullnode.full_node import FullNode
from fs_net.fullnode.http.app import create_app
from fs_net.fullnode.http.server import listen, serve
from fs_net.fullnode.http.settings import ServerSettings
from fs_net.fullnode.http.sign_in import Site
from tests.net.fullnode.scene import as_batch, world
from tests.net.fullnode.test_node import eventually, full_node, play
from tests.net.http.fair import TOKEN, Book
from tests.net.http.stage import LOOPBACK, NO_LIMITS
from tests.net.http.wallets import recover
from tests.net.world import NETWORK, NOW
from tools.testing import patience

FRIEND = b"a friend's peer id"


@asynccontextmanager
async def shown(node: FullNode) -> AsyncIterator[httpx.AsyncClient]:
    listener = listen(LOOPBACK, 0)
    origin = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    settings = ServerSettings(Site(origin, 1), NETWORK, limits=NO_LIMITS)
    app = create_app(node.catalogue, Book(), TOKEN, recover, settings, lambda: NOW)
    serving = asyncio.create_task(serve(app, listener, settings))
    try:
        async with httpx.AsyncClient(base_url=origin) as visitor:
            yield visitor
    finally:
        serving.cancel()
        await asyncio.wait([serving])


def test_what_is_gathered_is_shown(tmp_path: Path) -> None:
    async def scene() -> None:
        chain, (alice, bob) = world(2)
        async with full_node(tmp_path / "a", chain) as node, shown(node) as visitor:
            said = as_batch(alice.record(), bob.record(), alice.heartbeat(free=3))
            node.gatherer.take_batch(FRIEND, said, NOW)
            await eventually(lambda: node.catalogue.statistics().live == 1)
            address = "0x" + alice.address.hex()
            async with asyncio.timeout(patience.seconds(30)):
                while not (rows := (await visitor.get("/api/v1/providers")).json()["providers"]):  # noqa: ASYNC110 - answers are a second old
                    await asyncio.sleep(0.05)
            assert [each["address"].lower() for each in rows] == [address]
            assert rows[0]["free_slots"] == 3
            for path in (f"/api/v1/providers/{address}", f"/providers/{address}", "/", "/network"):
                assert (await visitor.get(path)).status_code == 200
            prices = (await visitor.get(f"/api/v1/providers/{address}/prices")).json()["prices"]
            assert [each["per_gib"]["units"] for each in prices] == [str(10**16)]
            history = (await visitor.get("/api/v1/statistics/history")).json()["moments"]
            assert history[-1]["live"] == 1
            for span in range(1, 91, 7):
                answer = await visitor.get(f"/api/v1/providers/{address}/uptime?days={span}")
                assert len(answer.json()["intervals"]) <= 100

    play(scene)


def test_a_heartbeat_is_told_to_who_listens(tmp_path: Path) -> None:
    async def scene() -> None:
        chain, (alice,) = world(1)
        async with full_node(tmp_path / "a", chain) as node, shown(node) as visitor:
            node.gatherer.take_batch(FRIEND, as_batch(alice.record()), NOW)
            await eventually(node.catalogue.providers)
            params = {"provider": "0x" + alice.address.hex()}
            async with visitor.stream("GET", "/api/v1/events", params=params) as answer:
                lines = answer.aiter_lines()
                assert await anext(lines) == "retry: 3000"
                node.gatherer.take_batch(FRIEND, as_batch(alice.heartbeat(free=4)), NOW)
                async for line in lines:
                    if line.startswith("data: ") and json.loads(line[6:])["live"]:
                        assert json.loads(line[6:])["free_slots"] == 4
                        break

    play(scene)
