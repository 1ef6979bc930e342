# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A client buys through a relay, and then reaches its provider directly through both NATs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from coincurve import PrivateKey

from fs_market.core.wire.signatures import SigningKey
from fs_market.session import session_book
from fs_market.session.meetings import Whereabouts, ask_to_meet
from fs_net.bridge import Settings
from fs_net.host import Host
from fs_net.session import Session
from fs_tunnel.roles.peer_route import PeerRoute, serve_peer
from fs_tunnel.roles.punching import NoGate, meeting, reach
from fs_wire.types import Endpoint
from tests.interop.nats import (
    PORT,
    PROVIDER_OUTSIDE,
    SERVERS,
    Scene,
    behind_nats,
    key_of,
    linked,
)
from tests.market.dealing import DOMAIN, NODE, bought, provider
from tests.net.test_host import Program, address_of
from tests.net.test_sessions import Serve
from tests.net.world import NETWORK
from tests.netns.peers import FS
from tests.netns.topology import Namespace
from tools.testing import patience

pytestmark = pytest.mark.netns


@asynccontextmanager
async def host_in(
    home: Namespace, folder: Path, serve: Serve | None = None, *, is_full_node: bool = False
) -> AsyncIterator[Host]:
    """Start a host whose network process is in a namespace, because it is started from there."""
    listen = ("/ip4/0.0.0.0/tcp/4001",)
    settings = Settings(str(folder), NETWORK, listen, is_full_node=is_full_node)
    made = Host(settings, Program(), on_session=serve)
    with home.entered():
        await made.start()
    try:
        yield made
    finally:
        await made.close()


def test_a_tunnel_is_bought_and_reached_through_two_nats(tmp_path: Path) -> None:
    async def play(scene: Scene) -> Endpoint | None:
        said: list[str] = []
        key = SigningKey(PrivateKey().secret)

        async def serve(session: Session) -> None:
            await serve_peer(seller.agent, session)

        async with (
            linked(scene.client) as near,
            linked(scene.provider) as far,
            provider(tmp_path, meet=meeting(far, SERVERS, said.append)) as seller,
            host_in(scene.internet, tmp_path / "full", is_full_node=True) as full,
            host_in(scene.provider.home, tmp_path / "selling", serve) as selling,
            host_in(scene.client.home, tmp_path / "buying") as buying,
        ):
            relay = next(each for each in (await full.info())["addresses"] if SERVERS[0].ip in each)
            await selling.connect(relay)
            assert await selling.reserve(full.peer)
            name = (await address_of(selling)).rpartition("/")[2]
            route = PeerRoute(buying, selling.peer, [f"{relay}/p2p-circuit/p2p/{name}"])
            async with bought(
                *(tmp_path, seller),
                session_key=key,
                wireguard_key=key_of(scene.client),
                route=route,
            ) as buyer:
                (entry,) = await buyer.books.do(session_book.latest_first)

                async def ask(ours: Whereabouts) -> Whereabouts:
                    return await ask_to_meet(route, DOMAIN, key, NODE.address, entry.channel, ours)

                reached = await reach(near, NoGate(), key_of(scene.provider), SERVERS, ask)
            assert said == []
            return reached

    with behind_nats(FS, "steady", "steady") as scene:
        assert uvloop.run(asyncio.wait_for(play(scene), patience.seconds(90))) == Endpoint(
            PROVIDER_OUTSIDE, PORT
        )
        scene.client.ping(scene.provider.v4)
