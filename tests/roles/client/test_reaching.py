# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Which addresses, and which words of an agent, ``up`` accepts before it opens anything."""

import pytest

from fs_market.errors import MarketError
from fs_market.session.meetings import Whereabouts
from fs_net.peer_ids import key_of, name_of, peer_id
from fs_tunnel.roles.client.providers import places_of
from fs_tunnel.roles.client.reaching import relay_endpoint
from fs_tunnel.roles.punching import whereabouts_from_json, whereabouts_to_json
from fs_wire.types import Endpoint
from tests.net.world import Provider

NODE = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"


@pytest.mark.parametrize(
    ("address", "endpoint"),
    [
        (f"/ip4/192.0.2.1/tcp/4001/p2p/{NODE}", Endpoint("192.0.2.1", 4001)),
        (f"/ip6/2001:db8::1/tcp/4001/p2p/{NODE}", Endpoint("2001:db8::1", 4001)),
        (f"/ip6/192.0.2.1/tcp/4001/p2p/{NODE}", None),
        (f"/ip4/192.0.2.1/udp/4001/quic-v1/p2p/{NODE}", None),
        (f"/dns4/node.example/tcp/4001/p2p/{NODE}", None),
        (f"/ip4/192.0.2.1/tcp/99999/p2p/{NODE}", None),
        (f"/ip4/192.0.2.1/tcp/4001/p2p/{NODE}/p2p-circuit/p2p/{NODE}", None),
        ("/ip4/192.0.2.1/tcp/4001", None),
    ],
)
def test_a_full_node_is_reached_over_tcp_at_an_address(
    address: str, endpoint: Endpoint | None
) -> None:
    assert relay_endpoint(address) == endpoint


def test_whereabouts_pass_between_command_and_agent() -> None:
    here = Whereabouts((Endpoint("192.0.2.1", 1), Endpoint("2001:db8::1", 65535)), 2)
    assert whereabouts_from_json(whereabouts_to_json(here)) == here
    assert whereabouts_from_json({"endpoints": [], "mapping": 0}) == Whereabouts((), 0)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"endpoints": ["192.0.2.1:1"]},
        {"endpoints": 7, "mapping": 1},
        {"endpoints": [7], "mapping": 1},
        {"endpoints": ["127.0.0.1:1"], "mapping": 1},
        {"endpoints": ["224.0.0.1:1"], "mapping": 1},
        {"endpoints": ["[fe80::1%1]:1"], "mapping": 1},
        {"endpoints": ["192.0.2.1:0"], "mapping": 1},
        {"endpoints": ["node.example:1"], "mapping": 1},
        {"endpoints": ["192.0.2.1:1"], "mapping": None},
    ],
)
def test_what_is_no_whereabouts_opens_nothing(said: dict[str, object]) -> None:
    with pytest.raises(MarketError, match="choose another"):
        whereabouts_from_json(said)


def test_who_names_no_place_of_sale_is_a_peer() -> None:
    (peer,) = places_of(Provider(1).record(sales=()))
    key = Provider(1).record().content.peer_key
    assert (peer.host, peer.peer) == ("", peer_id(key))
    assert peer.place == f"peer {name_of(peer.peer)}"
    assert peer.place.startswith("peer 12D3KooW")
    assert key_of(peer.peer) == key
    assert not any(each.peer for each in places_of(Provider(1).record()))
