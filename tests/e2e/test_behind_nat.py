# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``up`` buys from a provider behind a NAT, through a full node, and punches from behind another.

client 192.168.1.2 - NAT 203.0.113.10 - full nodes, chain, web - NAT 203.0.113.20 - 192.168.2.2
                                          203.0.113.30, a provider without a NAT
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from fs_wire import stun
from tests.e2e.announced import network, verb
from tests.e2e.backbone import host_of, open_accounts
from tests.e2e.market import NAME, PROVIDER, SALES, SOLD, WEB, Market, furnished, make_keystore
from tests.e2e.sellers import TUNNEL, Seller
from tests.e2e.test_finding import settings, up
from tests.e2e.uplink import left
from tests.interop.nats import (
    CLIENT_INSIDE,
    CLIENT_OUTSIDE,
    PORT,
    PROVIDER_INSIDE,
    PROVIDER_OUTSIDE,
    home,
)
from tests.netns.capture import Capture
from tests.netns.served import expect_ok, host_state
from tests.netns.topology import Topology, unique_name
from tests.netns.waiting import wait_until
from tests.walks import long

MIB = 1 << 20
FULL_NODES = ("203.0.113.1", "203.0.113.2")
OPEN = "203.0.113.30"  # a provider behind no NAT
LIBP2P = 4001
pytestmark = pytest.mark.netns


@contextmanager
def behind_nats(client_nat: str, provider_nat: str) -> Iterator[tuple[Market, list[str]]]:
    """Serve the provider, which two full nodes know; yield the scene and their addresses."""
    with (
        tempfile.TemporaryDirectory(prefix="fs-e2e-") as made,
        Topology() as topology,
        ExitStack() as stack,
    ):
        folder = Path(made)
        folder.chmod(0o711)  # the agents' books are in it
        internet = topology.namespace("inet")
        internet.ip("link", "add", "bridge", "type", "bridge")
        for address in (WEB, *FULL_NODES):
            internet.ip("address", "add", f"{address}/24", "dev", "bridge")
        internet.ip("link", "set", "bridge", "up")
        client = home(topology, internet, "cli", client_nat, CLIENT_OUTSIDE, CLIENT_INSIDE)
        provider = home(topology, internet, "prov", provider_nat, PROVIDER_OUTSIDE, PROVIDER_INSIDE)
        provider.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        scene = furnished(Market(topology, client, provider, internet, folder, "10", "lan"))
        stack.callback(scene.fs_tunnel, provider, "down", SOLD)
        stack.callback(scene.fs_tunnel, client, "down", NAME)
        full_nodes: list[str] = []
        for each in FULL_NODES:
            full_nodes.append(start_full_node(scene, each, full_nodes))
        sell(scene, full_nodes)
        scene.serve()
        wait_until(
            lambda: network(scene).get("relays") and network(scene)["full_nodes"] == 2,
            what="full nodes know the provider, and pass clients on",
            seconds=90,
        )
        scene.begin()
        yield scene, full_nodes


def start_full_node(scene: Market, address: str, known: list[str]) -> str:
    """Run ``fs-tunnel fullnode`` as a user does; return its address."""
    told = scene.folder / f"{address}.out"
    bootstrap = [word for each in known for word in ("--bootstrap", each)]
    with told.open("wb") as out:
        process = scene.internet.start(
            *(sys.executable, "-m", "fs_tunnel.cli.main", "fullnode", "--json"),
            *("--folder", str(scene.folder / f"full-{address}"), *bootstrap),
            *("--listen", f"/ip4/{address}/tcp/{LIBP2P}", "--settings", str(scene.settings)),
            env=scene.env,
            stdout=out,
        )

    def ready() -> list[str]:
        assert process.poll() is None
        said = [json.loads(each) for each in told.read_text().splitlines(keepends=False)]
        return next((each["addresses"] for each in said if each["event"] == "ready"), [])

    found = wait_until(ready, what=f"the full node of {address} listens", seconds=60)
    return str(found[0])


def sell(scene: Market, full_nodes: list[str]) -> None:
    """Sell behind a NAT: without ``sales``, with the tunnel at the NAT's address."""
    sale = scene.folder / "sale.toml"
    text = sale.read_text()
    text = text.replace(f"{PROVIDER}:{SALES}", f"0.0.0.0:{SALES}")
    text = text.replace(f"{PROVIDER}:{PORT}", f"{PROVIDER_OUTSIDE}:{PORT}")
    sale.write_text(
        f'{text}country = "DE"\nclients = 20\nrelay = true\n\n[network]\n'
        f'bootstrap = {json.dumps(full_nodes)}\nlisten = ["/ip4/0.0.0.0/tcp/{LIBP2P}"]\n'
    )
    for words in (("stake", "120", scene.symbol, "--yes"), ("announce", "--yes")):
        expect_ok(verb(scene, *words))


def buy(scene: Market, full_nodes: list[str], *options: str) -> tuple[int, str, str]:
    make_keystore(scene)
    wishes = ("--country", "DE", "--max-price", "20/GiB", *options)
    done = up(scene, settings(scene, full_nodes), *wishes)
    return done.code, done.out, done.err


def is_datagram(data: bytes) -> bool:
    return any(kind == "udp" for _, kind, _ in left([data]))


def test_it_is_bought_through_a_full_node_and_reached_through_both_nats() -> None:
    with behind_nats("steady", "steady") as (scene, full_nodes):
        with Capture(scene.client, "lan") as uplink:
            code, out, err = buy(scene, full_nodes)
            assert code == 0, err
            assert out.count("is open, with 5 ") == 1
            assert scene.fetch(4 * MIB) == 4 * MIB
            frames = [frame.data for frame in uplink.frames() if frame.outgoing and frame.data]
        # The tunnel's first datagram leaves only after the kill switch is closed.
        closed = next(at for at in range(len(frames)) if is_datagram(frames[at]))
        before = left(frames[:closed])
        assert {kind for _, kind, _ in before} == {"tcp"}
        # libp2p's own hole punching, or addresses from the DHT, would lead to these connections.
        assert not {place for place, _, _ in before} & {PROVIDER_INSIDE, PROVIDER_OUTSIDE}
        behind = left(frames[closed:])
        (relay,) = {place for place, kind, _ in behind if kind == "tcp"}
        assert behind == {
            (relay, "tcp", LIBP2P),
            *((each, "udp", stun.PORT) for each in FULL_NODES),
            (PROVIDER_OUTSIDE, "udp", PORT),
        }
        assert relay in FULL_NODES
        rules = scene.client.run("nft", "list", "table", "inet", f"fs_{NAME}")
        assert f"{PROVIDER_OUTSIDE} . {PORT}" in rules
        assert not any(f"{each} ." in rules for each in FULL_NODES)
        wait_until(lambda: int(scene.money(NAME)["paid"]["units"]) > 0, what="it is paid")
        assert "over (done)" in scene.down()
        paid = scene.money(SOLD)["paid"]["units"]
        wait_until(lambda: scene.gained("provider") == int(paid), what="books agree")
        wait_until(lambda: scene.gained("client") == -int(paid), what="the rest comes back")


def test_who_is_out_of_reach_is_passed_over_and_without_another_nothing_stays() -> None:
    with behind_nats("symmetric", "symmetric") as (scene, full_nodes):
        at_first = host_state(scene.client)
        code, _, err = buy(scene, full_nodes)
        assert code == 1
        assert "hole punching cannot work: both NATs are symmetric; choose another provider" in err
        assert "get the money back with fs-tunnel market settle" in err
        assert "The session is over" in err
        assert_nothing_stays(scene, at_first)

        other = sell_in_the_open(scene, full_nodes)
        code, out, err = buy(scene, full_nodes, "--order", "price")
        assert code == 0, err
        (passed,) = (each for each in err.splitlines() if "is passed over" in each)
        assert "both NATs are symmetric" in passed
        assert "its session is over" in passed and "fs-tunnel market settle" in passed
        assert out.count("is open, with 2.5 ") == 2  # two channels with half of the budget each
        assert scene.fetch(MIB) == MIB
        (peer,) = scene.status(scene.client, NAME)["peers"]
        assert peer["endpoint"] == f"{OPEN}:{TUNNEL}"
        rules = scene.client.run("nft", "list", "table", "inet", f"fs_{NAME}")
        assert OPEN in rules
        assert not any(each in rules for each in (*FULL_NODES, PROVIDER_OUTSIDE, PROVIDER_INSIDE))
        told = scene.wait_for_agent(NAME, "served")
        (before,) = told["elsewhere"]
        assert int(before["paid"]["units"]) == 0
        assert int(before["deposit"]["units"]) + int(told["deposit"]["units"]) == 5 * 10**6
        assert told["failover"]["waiting"] == []
        said = scene.down()
        assert "over (done)" in said and "fs-tunnel market settle" in said
        assert_nothing_stays(scene, at_first)
        # The client signed no voucher, so only its own close brings the money back.
        assert settle(scene).count("closing") == 2
        assert scene.gained("provider") == 0
        other.down()


def sell_in_the_open(scene: Market, full_nodes: list[str]) -> Seller:
    """Make another provider that is a little dearer and has no NAT."""
    where = scene.topology.namespace("next")
    scene.topology.link(where, "wan", [f"{OPEN}/24"], scene.internet, "next", [])
    scene.internet.ip("link", "set", "next", "master", "bridge")
    where.ip("route", "add", "default", "via", WEB)
    where.sysctl("net/ipv4/ip_forward", 1)
    open_accounts(scene, ["next"])
    host = host_of(scene, where, "next")
    other = Seller("next", host, where, OPEN, "DE", unique_name("next"), host_state(where))
    other.write_settings("11", full_nodes[0])
    other.stand()
    other.serve()
    wait_until(
        lambda: other.money().get("network", {}).get("full_nodes"),
        what="a full node knows the other",
        seconds=60,
    )
    return other


def settle(scene: Market) -> str:
    """Run the client's ``market settle``; return its output."""
    return scene.ok(
        scene.client,
        *("market", "settle", "--yes", "--settings", scene.settings),
        *("--wallet", scene.folder / "wallet.json"),
        *("--password-file", scene.folder / "password"),
    )


def assert_nothing_stays(scene: Market, at_first: str) -> None:
    assert not list((scene.folder / "state" / "market").glob(f"{NAME}.[cjks]*"))
    assert scene.fs_tunnel(scene.client, "status", NAME).code == 3
    assert host_state(scene.client) == at_first


@long
def test_a_port_that_is_forwarded_needs_no_meeting() -> None:
    with behind_nats("symmetric", "open") as (scene, full_nodes):
        with Capture(scene.client, "lan") as uplink:
            code, _, err = buy(scene, full_nodes)
            assert code == 0, err
            assert scene.fetch(MIB) == MIB
            frames = [frame.data for frame in uplink.frames() if frame.outgoing and frame.data]
        assert {place for place in left(frames) if place[1] == "udp"} == {
            (PROVIDER_OUTSIDE, "udp", PORT)
        }
        assert "over (done)" in scene.down()
