# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A client and a provider are each behind a NAT of their own; STUN servers are between them.

There are three kinds of NAT:

- steady: Linux translates a source and keeps its port if that port is free. So everybody sees a
  socket at one endpoint. Only an endpoint that the socket sent to can send back.
- symmetric: with ``fully-random``, each destination sees another port.
- open: a port is forwarded, so everybody can send to it.

The routers drop unasked datagrams silently, as routers at home do. A router that refused such a
datagram would remember it, and would give its own host's datagram another port.
"""

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from fs_tunnel.roles.metering import EngineLink
from fs_wire import control
from fs_wire.types import Endpoint, PublicKey
from tests.interop.exchange import ALICE_INSIDE, BOB_INSIDE
from tests.netns.peers import Engine, Peer, introduce, running
from tests.netns.topology import Namespace, Topology, python_module

PORT = 51820
SERVERS = [Endpoint("203.0.113.1", 3478), Endpoint("203.0.113.2", 3478)]
CLIENT_OUTSIDE, PROVIDER_OUTSIDE = "203.0.113.10", "203.0.113.20"
CLIENT_INSIDE, PROVIDER_INSIDE = "192.168.1.2", "192.168.2.2"


@dataclass
class Scene:
    internet: Namespace
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
        yield Scene(internet, client, provider)


def home(
    topology: Topology, internet: Namespace, role: str, nat: str, outside: str, inside: str
) -> Namespace:
    """Make a host behind a router with this kind of NAT."""
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
    """Connect to an engine as its agent does, and listen to its events."""
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
