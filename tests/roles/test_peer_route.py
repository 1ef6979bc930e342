# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The market's agents over libp2p: directly, and if the provider has only a reservation."""

from pathlib import Path

import pytest
import uvloop

from fs_market.errors import MarketError
from fs_market.session.provider_agent import ProviderAgent
from fs_market.session.quoting import ask_for_quote
from fs_market.session.stream import connect
from fs_net.host import Host
from fs_net.session import Session
from fs_tunnel.roles.peer_route import PeerRoute, serve_peer
from tests.market.dealing import DOMAIN, NODE, bought, provider
from tests.net.test_host import address_of, eventually
from tests.net.test_sessions import Serve, host


def serving(agent: ProviderAgent) -> Serve:
    async def serve(session: Session) -> None:
        await serve_peer(agent, session)

    return serve


async def name_of(peer: Host) -> str:
    return (await address_of(peer)).rpartition("/")[2]


def test_a_place_is_bought_from_a_peer(tmp_path: Path) -> None:
    async def play() -> None:
        async with (
            provider(tmp_path) as seller,
            host(tmp_path / "selling", serving(seller.agent)) as selling,
            host(tmp_path / "buying") as buying,
        ):
            route = PeerRoute(buying, selling.peer, [await address_of(selling)])
            quote = await ask_for_quote(route, DOMAIN, NODE.address)
            assert quote.terms.node == NODE.address
            async with bought(tmp_path, seller, route=route) as buyer:
                assert buyer.place.payment_port == seller.port

    uvloop.run(play())


def test_through_a_full_node(tmp_path: Path) -> None:
    async def play() -> None:
        async with (
            host(tmp_path / "full", is_full_node=True) as full,
            provider(tmp_path) as seller,
            host(tmp_path / "selling", serving(seller.agent)) as selling,
            host(tmp_path / "buying") as buying,
        ):
            relay = await address_of(full)
            await selling.connect(relay)
            assert await selling.reserve(full.peer)
            route = PeerRoute(
                *(buying, selling.peer),
                [f"{relay}/p2p-circuit/p2p/{await name_of(selling)}"],
            )
            assert (await ask_for_quote(route, DOMAIN, None)).terms.node == NODE.address

    uvloop.run(play())


def test_who_is_a_peer_is_limited_as_one(tmp_path: Path) -> None:
    """Behind one relay all peers have one address, and any peer may have many addresses."""

    async def play() -> None:
        async with (
            provider(tmp_path) as seller,
            host(tmp_path / "selling", serving(seller.agent)) as selling,
            host(tmp_path / "buying") as buying,
        ):
            stream = await connect(PeerRoute(buying, selling.peer, [await address_of(selling)]))
            stream.send([b"\x00"])
            await eventually(lambda: seller.agent._sources)
            assert list(seller.agent._sources) == [f"peer {buying.peer.hex()}"]
            await stream.close()

    uvloop.run(play())


@pytest.mark.parametrize("addresses", [[], ["/ip4/127.0.0.1/tcp/1/p2p/12D3KooWNobody"]])
def test_where_nobody_is_the_message_says_so(tmp_path: Path, addresses: list[str]) -> None:
    async def play() -> None:
        async with host(tmp_path / "buying") as buying:
            route = PeerRoute(buying, b"\x00\x24\x08\x01\x12\x20" + bytes(32), addresses)
            with pytest.raises(MarketError, match="choose another"):
                await ask_for_quote(route, DOMAIN, None)

    uvloop.run(play())
