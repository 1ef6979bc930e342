# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Both engines reach each other through their NATs, or the error says why they cannot."""

import asyncio
from dataclasses import dataclass
from ipaddress import IPv4Interface

import pytest

from fs_market.errors import MarketError
from fs_market.session.meetings import Whereabouts
from fs_net.core.punch import Mapping
from fs_tunnel.linux.firewall.kill_switch import KillSwitch, kill_switch_table
from fs_tunnel.linux.firewall.nft import table_of
from fs_tunnel.linux.firewall.permitted_endpoint import PermittedEndpoint
from fs_tunnel.linux.routing.links import LINK_GROUP
from fs_tunnel.roles.punching import Gate, NoGate, find_whereabouts, meeting, reach
from fs_wire.types import Endpoint
from tests.interop.exchange import ALICE_INSIDE
from tests.interop.nats import (
    CLIENT_OUTSIDE,
    PORT,
    PROVIDER_OUTSIDE,
    SERVERS,
    Scene,
    behind_nats,
    key_of,
    linked,
)
from tests.netns.peers import Engine
from tests.netns.topology import Namespace

pytestmark = pytest.mark.netns

MARK = 51820
SILENT = Endpoint("203.0.113.1", 9)


async def punched(scene: Scene, gate: Gate | None = None) -> tuple[Endpoint | None, list[str]]:
    """Return the endpoint at which the client reached its provider, and what the provider said."""
    said: list[str] = []
    async with linked(scene.client) as near, linked(scene.provider) as far:
        meet = meeting(far, SERVERS, said.append)

        async def ask(ours: Whereabouts) -> Whereabouts:
            return await meet(key_of(scene.client), ours)

        return (
            await reach(near, gate or NoGate(), key_of(scene.provider), SERVERS, ask),
            said,
        )


@pytest.mark.parametrize(
    ("client_nat", "provider_nat"),
    [("steady", "steady"), ("steady", "open"), ("symmetric", "open"), ("open", "symmetric")],
)
def test_pings_pass_through_both_nats(
    our_engine: Engine, client_nat: str, provider_nat: str
) -> None:
    with behind_nats(our_engine, client_nat, provider_nat) as scene:
        endpoint, said = asyncio.run(punched(scene))
        assert endpoint is not None
        assert endpoint.ip == PROVIDER_OUTSIDE
        assert (endpoint.port == PORT) == (provider_nat != "symmetric")
        scene.client.ping(scene.provider.v4, count=3)
        scene.provider.ping(scene.client.v6)
        # The provider may still be calling when its link is taken away.
        assert set(said) <= {"the engine ended"}


@pytest.mark.parametrize(
    ("client_nat", "provider_nat", "verdict"),
    [
        ("symmetric", "symmetric", "both NATs are symmetric; choose another provider"),
        ("symmetric", "steady", "your NAT is symmetric, and the provider's NAT lets in only"),
        ("steady", "symmetric", "the provider's NAT is symmetric, and your NAT lets in only"),
    ],
)
def test_the_error_says_which_nat_prevents_a_connection(
    our_engine: Engine, client_nat: str, provider_nat: str, verdict: str
) -> None:
    with behind_nats(our_engine, client_nat, provider_nat) as scene:
        with pytest.raises(MarketError, match=verdict):
            asyncio.run(punched(scene))
        assert scene.client.latest_handshake(scene.provider.keys.public) == 0


@pytest.mark.parametrize(
    ("nat", "mapping"),
    [("steady", Mapping.STEADY), ("symmetric", Mapping.SYMMETRIC), ("open", Mapping.STEADY)],
)
def test_stun_servers_see_the_tunnels_own_socket(
    our_engine: Engine, nat: str, mapping: Mapping
) -> None:
    async def observe(scene: Scene) -> Whereabouts:
        async with linked(scene.client) as near:
            return await find_whereabouts(near, SERVERS)

    with behind_nats(our_engine, nat, "steady") as scene:
        seen = asyncio.run(observe(scene))
        assert seen.mapping is mapping
        assert {each.ip for each in seen.endpoints} == {CLIENT_OUTSIDE}
        assert (seen.endpoints == (Endpoint(CLIENT_OUTSIDE, PORT),)) is (nat != "symmetric")


def test_the_kind_of_nat_is_unknown_if_stun_servers_are_silent(our_engine: Engine) -> None:
    async def observe(scene: Scene, servers: list[Endpoint]) -> Whereabouts:
        async with linked(scene.client) as near:
            return await find_whereabouts(near, servers)

    with behind_nats(our_engine, "steady", "steady") as scene:
        assert asyncio.run(observe(scene, [SILENT])) == Whereabouts((), Mapping.UNKNOWN)
        one = asyncio.run(observe(scene, [SILENT, SERVERS[0]]))
        assert one == Whereabouts((Endpoint(CLIENT_OUTSIDE, PORT),), Mapping.UNKNOWN)


@dataclass
class NftGate:
    """The kill switch of a namespace, without a helper; it remembers which endpoints it opened."""

    host: Namespace
    table: str
    opened: list[Endpoint]

    async def open(self, endpoint: Endpoint) -> None:
        self.opened.append(endpoint)
        with self.host.entered():
            PermittedEndpoint(self.table, endpoint.ip, endpoint.port).do()

    async def close(self, endpoint: Endpoint) -> None:
        with self.host.entered():
            PermittedEndpoint(self.table, endpoint.ip, endpoint.port).undo()


def test_the_kill_switch_opens_only_for_endpoints_that_are_called(our_engine: Engine) -> None:
    with behind_nats(our_engine, "steady", "steady") as scene:
        client = scene.client
        client.wg("set", "fwmark", str(MARK))
        client.namespace.ip("link", "set", client.ifname, "group", str(LINK_GROUP))
        inside = tuple(IPv4Interface(each) for each in ALICE_INSIDE if ":" not in each)
        switch = KillSwitch(client.ifname, MARK, inside, ())
        with client.namespace.entered():
            kill_switch_table(switch).do()

        async def closed() -> Whereabouts:
            async with linked(client) as near:
                return await find_whereabouts(near, SERVERS)

        assert asyncio.run(closed()).endpoints == ()  # the control: nothing leaves

        gate = NftGate(client.namespace, table_of(client.ifname), [])
        endpoint, _ = asyncio.run(punched(scene, gate))
        assert endpoint == Endpoint(PROVIDER_OUTSIDE, PORT)
        assert gate.opened == [*SERVERS, endpoint]
        client.ping(scene.provider.v4)
        left = client.namespace.run("nft", "list", "set", "inet", gate.table, "endpoints4")
        assert f"{PROVIDER_OUTSIDE} . {PORT}" in left
        assert not any(f"{each.ip} ." in left for each in SERVERS)
