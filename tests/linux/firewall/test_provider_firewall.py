# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Actions that a provider forbids its clients, tried by a client over a real tunnel.

Each refusal has its control: the same destination answers where the firewall is not in the way.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.netns.served import (
    GATEWAY_V4,
    PROVIDER_WAN_V4,
    WEB_V4,
    WEB_V6,
    Client,
    Served,
    served,
)
from tests.netns.topology import CommandFailed, Namespace, add_addresses
from tools.testing import patience

pytestmark = pytest.mark.netns

REFUSED = r"No route to host|Permission denied|unreachable"


@contextmanager
def selling(folder: Path) -> Iterator[Served]:
    with served(folder) as made:
        made.serve("--wan", "wan")
        made.up()
        yield made


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Served]:
    """For a test that changes how the provider serves, or its firewall."""
    with selling(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """For tests that only try what a client may do."""
    with selling(tmp_path_factory.mktemp("shared")) as made:
        yield made


def listen(where: Namespace, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = where.open_socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    made.listen()
    return made


def connect(where: Namespace, address: str, port: int, *, seconds: float = 5) -> None:
    """Make a TCP connection and close it; OSError if it is refused."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with where.open_socket(family, socket.SOCK_STREAM) as made:
        made.settimeout(seconds)
        made.connect((address, port))


@pytest.mark.parametrize("address", [WEB_V4, WEB_V6])
def test_a_client_reaches_the_internet(shared: Served, address: str) -> None:
    with listen(shared.web, address, 8080) as server:
        connect(shared.client.namespace, address, 8080)
        accepted, (seen_as, *_) = server.accept()
        accepted.close()
    # Translated: nobody outside sees the client's own address.
    assert seen_as == (PROVIDER_WAN_V4 if "." in address else "2001:db8:2::10")


PRIVATE = "169.254.169.254", "10.9.9.9", "192.168.7.7", "172.16.0.9", "100.64.0.9", "fd99::9"


def test_private_destinations_are_refused_and_counted(shared: Served) -> None:
    for each in PRIVATE:
        add_addresses(shared.web, "wan", [f"{each}/{128 if ':' in each else 32}"])
    for each in PRIVATE:
        is_refused_and_counted(shared, each)


def is_refused_and_counted(shared: Served, address: str) -> None:
    with listen(shared.web, address, 80) as server:
        connect(shared.provider, address, 80)  # the control: the provider itself gets there
        server.accept()[0].close()
        server.settimeout(0.2)
        before = shared.refused("denied_destination")
        with pytest.raises(OSError, match=REFUSED):
            connect(shared.client.namespace, address, 80)
        assert shared.refused("denied_destination") > before
        with pytest.raises(TimeoutError):
            server.accept()


def test_another_client_is_out_of_reach(shared: Served) -> None:
    shared.up(shared.other)
    with listen(shared.other.namespace, shared.other.v4, 8080):
        shared.other.namespace.run("ping", "-c", "1", "-w", "5", GATEWAY_V4)  # it is there
        with pytest.raises(CommandFailed):
            shared.client.namespace.run("ping", "-c", "1", "-W", "1", shared.other.v4)
        with pytest.raises(OSError, match="timed out"):
            connect(shared.client.namespace, shared.other.v4, 8080, seconds=1)
    assert shared.refused("client_to_client") > 0


def test_port_25_is_reset_and_submission_is_open(shared: Served) -> None:
    with listen(shared.web, WEB_V4, 25), listen(shared.web, WEB_V4, 587):
        connect(shared.provider, WEB_V4, 25)
        with pytest.raises(ConnectionRefusedError):
            connect(shared.client.namespace, WEB_V4, 25)
        connect(shared.client.namespace, WEB_V4, 587)
    assert shared.refused("smtp") == 1


def test_port_25_can_be_allowed(scene: Served) -> None:
    scene.serve("--wan", "wan", "--allow-smtp")
    with listen(scene.web, WEB_V4, 25):
        connect(scene.client.namespace, WEB_V4, 25)


def test_a_source_outside_the_tunnels_network_is_dropped(shared: Served) -> None:
    # The peer's AllowedIPs admit 10.77.2.0/24, as a careless provider's might.
    client = shared.client.namespace
    add_addresses(client, shared.client.name, ["10.77.2.1/32"])
    with pytest.raises(CommandFailed):
        client.run("ping", "-c", "1", "-W", "1", "-I", "10.77.2.1", WEB_V4)
    assert shared.refused("spoofed") > 0
    client.run("ping", "-c", "1", "-w", "5", "-I", shared.client.v4, WEB_V4)


@pytest.mark.parametrize("address", [GATEWAY_V4, PROVIDER_WAN_V4])
def test_the_providers_own_services_are_out_of_reach(shared: Served, address: str) -> None:
    with listen(shared.provider, "0.0.0.0", 8080):
        connect(shared.provider, address, 8080)
        with pytest.raises(OSError, match=REFUSED):
            connect(shared.client.namespace, address, 8080)
    assert shared.refused("gateway") > 0
    shared.client.namespace.run("ping", "-c", "1", "-w", "5", GATEWAY_V4)


def test_nobody_outside_opens_a_connection_to_a_client(shared: Served) -> None:
    shared.web.ip("route", "add", "10.66.0.0/24", "via", PROVIDER_WAN_V4)
    with (
        listen(shared.client.namespace, shared.client.v4, 8080),
        pytest.raises(OSError, match="timed out"),
    ):
        connect(shared.web, shared.client.v4, 8080, seconds=1)
    assert shared.refused("unsolicited") > 0


def test_a_clients_connections_are_limited(scene: Served) -> None:
    scene.serve("--wan", "wan", "--max-flows", "5")
    with listen(scene.web, WEB_V4, 8080):
        where = scene.client.namespace
        held = [where.open_socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(20)]
        refused = 0
        for each in held:
            each.settimeout(patience.seconds(5))
            try:
                each.connect((WEB_V4, 8080))
            except OSError:
                refused += 1
        for each in held:
            each.close()
    assert refused == 15
    assert scene.refused("too_many_flows") >= 15


def test_segments_are_clamped_to_the_tunnels_mtu(shared: Served) -> None:
    with listen(shared.web, WEB_V4, 8080) as server:
        connect(shared.client.namespace, WEB_V4, 8080)
        accepted, _ = server.accept()
        with accepted:
            mss = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    assert mss <= 1420 - 40


def test_a_shadowed_port_delivers_nothing_to_the_attacker(scene: Served) -> None:
    """CVE-2021-3773: a client's flow from the tunnel's own port, towards another customer."""
    scene.up(scene.other)

    def gets_somebody_elses_packet(attacker: Client) -> bool:
        with (
            attacker.namespace.udp_socket(attacker.v4, 51820, seconds=1) as shadow,
            scene.web.udp_socket(WEB_V4) as victim,
        ):
            shadow.sendto(b"shadow", victim.getsockname())
            victim.recvfrom(100)
            victim.sendto(b"for the provider", (PROVIDER_WAN_V4, 51820))
            try:
                return shadow.recvfrom(100)[0] == b"for the provider"
            except TimeoutError:
                return False

    assert not gets_somebody_elses_packet(scene.client)
    # The control: with plain masquerading the attack works. It takes another client, since the
    # kernel remembers the port that it gave to the first.
    scene.provider.run(
        *("nft", "-f", "-"),
        stdin="flush ruleset\ntable ip plain { chain post { type nat hook postrouting priority "
        'srcnat; oifname "wan" masquerade; }; }\n',
    )
    assert gets_somebody_elses_packet(scene.other)


def test_forwarding_ipv6_for_clients_makes_no_router_for_others(scene: Served) -> None:
    scene.up(scene.client, "--no-kill-switch")
    scene.provider.ip("address", "add", "2001:db8:9::1/64", "dev", "lan2", "nodad")
    add_addresses(scene.client.namespace, "wire", ["2001:db8:9::2/64"])
    scene.client.namespace.ip("-6", "route", "add", f"{WEB_V6}/128", "via", "2001:db8:9::1")
    scene.web.ip("-6", "route", "add", "2001:db8:9::/64", "via", "2001:db8:2::10")
    before = scene.refused("ipv6_transit")
    with pytest.raises(CommandFailed):
        scene.client.namespace.run(
            *("ping", "-c", "1", "-W", "1", "-I", "wire", "-m", "51820", WEB_V6)
        )
    assert scene.refused("ipv6_transit") > before
