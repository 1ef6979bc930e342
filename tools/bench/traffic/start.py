# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The time from the command that starts an engine to the first packet through it."""

import time
from contextlib import ExitStack
from pathlib import Path

from tests.netns.peers import KeyPair, Peer, introduce, remove_sockets, running
from tests.netns.topology import Topology, unique_name
from tools.bench.figures import Sample
from tools.bench.peers import ALICE, BOB, WireGuard

_PORTS = (51820, 51821)
_LIMIT = 10.0  # seconds to wait for the packet


def measure(vpn: WireGuard, _: Path) -> Sample:
    """Let two engines meet on one loopback; their TUNs are in separate namespaces.

    Bob is running. Alice's engine starts as a daemon, and its command returns when it is ready.
    """
    with Topology() as topology, ExitStack() as stack:
        home = topology.namespace("home")
        inside = [topology.namespace(role) for role in ("alice", "bob")]
        bob = stack.enter_context(
            running(vpn.engine, home, (f"{BOB}/24",), port=_PORTS[1], tun_namespace=inside[1])
        )
        receiver = stack.enter_context(inside[1].udp_socket("0.0.0.0", 9, seconds=_LIMIT))  # noqa: S104
        sender = stack.enter_context(inside[0].udp_socket("0.0.0.0", seconds=_LIMIT))  # noqa: S104
        name = unique_name("alice")
        stack.callback(remove_sockets, name)
        alice = Peer(vpn.engine, home, home, name, KeyPair.generate(), (f"{ALICE}/24",), None)
        began = time.monotonic()
        home.run(*vpn.engine.argv, name, env=vpn.engine.env)
        ready = time.monotonic()
        alice.move_tun(inside[0])
        alice.wg(
            *("set", "private-key", "/dev/stdin", "listen-port", str(_PORTS[0])),
            stdin=alice.keys.private,
        )
        alice.bring_up()
        introduce(alice, bob, ("127.0.0.1", _PORTS[0]), ("127.0.0.1", _PORTS[1]))
        both_up = time.monotonic()
        sender.sendto(b"first", (BOB, 9))
        receiver.recv(64)
        arrived = time.monotonic()
    yield "start", (ready - began) * 1000
    yield "first_packet", (arrived - both_up) * 1000
    yield "start_to_packet", (arrived - began) * 1000
