"""A client and a provider, each behind a NAT of its own, and servers of STUN in between.

Linux translates a source and keeps its port where that is free, so that a socket is seen at one
endpoint by everybody, and lets in only whom it sent to ("steady"); with ``fully-random`` each
destination sees another port ("symmetric").  A port that is forwarded lets in everybody ("open").
Routers drop what nobody asked for, as those at home do: one that refuses it instead remembers it,
and gives its own datagram another port.
"""

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Interface

import pytest

from fs_market.errors import MarketError
from fs_market.meetings import Whereabouts
from fs_net.core.punch import Mapping
from fs_tunnel import control
from fs_tunnel.cli.metering import EngineLink
from fs_tunnel.cli.punching import Gate, NoGate, find_whereabouts, meeting, reach
from fs_tunnel.linux.kill_switch import KillSwitch, kill_switch_table
from fs_tunnel.linux.links import LINK_GROUP
from fs_tunnel.linux.nft import table_of
from fs_tunnel.linux.permitted_endpoint import PermittedEndpoint
from fs_tunnel.types import Endpoint, PublicKey
from tests.interop.exchange import ALICE_INSIDE, BOB_INSIDE
from tests.netns.peers import Engine, Peer, introduce, running
from tests.netns.topology import Namespace, Topology, python_module

pytestmark = pytest.mark.netns

PORT, MARK = 51820, 51820
SERVERS = [Endpoint("203.0.113.1", 3478), Endpoint("203.0.113.2", 3478)]
SILENT = Endpoint("203.0.113.1", 9)
CLIENT_OUTSIDE, PROVIDER_OUTSIDE = "203.0.113.10", "203.0.113.20"
CLIENT_INSIDE, PROVIDER_INSIDE = "192.168.1.2", "192.168.2.2"


@dataclass
class Scene:
    client: Peer
    provider: Peer


@contextmanager
def behind_nats(engine: Engine, client_nat: str, provider_nat: str) -> Iterator[Scene]:
    with Topology() as topology, ExitStack() as stack:
        internet = topology.namespace("net")
        internet.ip("link", "add", "bridge", "type", "bridge")
        for address in ("203.0.113.1/24", "203.0.113.2/24"):
            internet.ip("address", "add", address, "dev", "bridge")
        internet.ip("link", "set", "bridge", "up")
        homes = [
            home(topology, internet, *each)
            for each in (
                ("cli", client_nat, CLIENT_OUTSIDE, CLIENT_INSIDE),
                ("prov", provider_nat, PROVIDER_OUTSIDE, PROVIDER_INSIDE),
            )
        ]
        serve_stun(internet)
        client = stack.enter_context(running(engine, homes[0], ALICE_INSIDE, port=PORT))
        provider = stack.enter_context(running(engine, homes[1], BOB_INSIDE, port=PORT))
        introduce(client, provider, None, None)
        yield Scene(client, provider)


def home(
    topology: Topology, internet: Namespace, role: str, nat: str, outside: str, inside: str
) -> Namespace:
    """A host behind a router with this kind of NAT."""
    router, host = topology.namespace(f"{role[0]}nat"), topology.namespace(role)
    topology.link(router, "wan", [f"{outside}/24"], internet, f"p-{role}", [])
    internet.ip("link", "set", f"p-{role}", "master", "bridge")
    gateway = inside.rpartition(".")[0] + ".1"
    topology.link(host, "lan", [f"{inside}/24"], router, "lan", [f"{gateway}/24"])
    host.ip("route", "add", "default", "via", gateway)
    router.sysctl("net/ipv4/ip_forward", 1)
    flags = "random,fully-random" if nat == "symmetric" else ""
    forward = f'iifname "wan" udp dport {PORT} dnat to {inside}' if nat == "open" else ""
    rules = f"""table ip nat {{
        chain pre {{ type nat hook prerouting priority dstnat; {forward}
        }}
        chain post {{ type nat hook postrouting priority srcnat; oifname "wan" masquerade {flags}
        }}
        chain in {{ type filter hook input priority filter; iifname "wan" meta l4proto udp drop
        }}
    }}"""
    router.run("nft", "-f", "-", stdin=rules)
    return host


def serve_stun(internet: Namespace) -> None:
    argv = [*python_module("tests.netns.stun_server"), *(each.ip for each in SERVERS)]
    process = internet.start(*argv, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"


@asynccontextmanager
async def linked(peer: Peer) -> AsyncIterator[EngineLink]:
    """An agent's way to its engine, with its events heard."""
    sockets = {}
    for use in ("control", "events"):
        sockets[use] = socket.socket(socket.AF_UNIX)
        sockets[use].connect(str(control.socket_path(peer.ifname)))
    link = EngineLink()
    await link.open(sockets)

    async def hear() -> None:
        with contextlib.suppress(ConnectionError):
            async for _ in link.low_credits():
                pass

    hearing = asyncio.create_task(hear())
    try:
        yield link
    finally:
        hearing.cancel()
        for _, writer in (link._control, link._events):
            writer.close()
            await writer.wait_closed()


def key_of(peer: Peer) -> PublicKey:
    return PublicKey.from_base64(peer.keys.public)


async def punched(scene: Scene, gate: Gate | None = None) -> tuple[Endpoint | None, list[str]]:
    """The endpoint through which the client reached its provider, and what the latter says."""
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
def test_a_ping_through_both_nats(our_engine: Engine, client_nat: str, provider_nat: str) -> None:
    with behind_nats(our_engine, client_nat, provider_nat) as scene:
        endpoint, said = asyncio.run(punched(scene))
        assert endpoint is not None
        assert endpoint.ip == PROVIDER_OUTSIDE
        assert (endpoint.port == PORT) == (provider_nat != "symmetric")
        scene.client.ping(scene.provider.v4, count=3)
        scene.provider.ping(scene.client.v6)
        assert said == []


@pytest.mark.parametrize(
    ("client_nat", "provider_nat", "verdict"),
    [
        ("symmetric", "symmetric", "both sides' NATs are symmetric; choose another provider"),
        ("symmetric", "steady", "our NAT is symmetric, and the provider's lets in only whom"),
        ("steady", "symmetric", "the provider's NAT is symmetric, and ours lets in only whom"),
    ],
)
def test_it_says_plainly_when_it_cannot(
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
def test_servers_see_the_tunnels_own_socket(our_engine: Engine, nat: str, mapping: Mapping) -> None:
    async def observe(scene: Scene) -> Whereabouts:
        async with linked(scene.client) as near:
            return await find_whereabouts(near, SERVERS)

    with behind_nats(our_engine, nat, "steady") as scene:
        seen = asyncio.run(observe(scene))
        assert seen.mapping is mapping
        assert {each.ip for each in seen.endpoints} == {CLIENT_OUTSIDE}
        assert (seen.endpoints == (Endpoint(CLIENT_OUTSIDE, PORT),)) is (nat != "symmetric")


def test_servers_that_are_silent_leave_it_unknown(our_engine: Engine) -> None:
    async def observe(scene: Scene, servers: list[Endpoint]) -> Whereabouts:
        async with linked(scene.client) as near:
            return await find_whereabouts(near, servers)

    with behind_nats(our_engine, "steady", "steady") as scene:
        assert asyncio.run(observe(scene, [SILENT])) == Whereabouts((), Mapping.UNKNOWN)
        one = asyncio.run(observe(scene, [SILENT, SERVERS[0]]))
        assert one == Whereabouts((Endpoint(CLIENT_OUTSIDE, PORT),), Mapping.UNKNOWN)


@dataclass
class NftGate:
    """The kill switch of a namespace, without a helper; remembers what it was asked for."""

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


def test_the_kill_switch_opens_for_what_is_called_and_for_no_more(our_engine: Engine) -> None:
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
