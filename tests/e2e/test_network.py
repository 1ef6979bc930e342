# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Three full nodes, five providers and a client; some of them die while the client downloads."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.backbone import backbone, open_accounts
from tests.e2e.market import NAME, SALES, Fetching, Market, make_wallet
from tests.e2e.sellers import TUNNEL, Seller, seller
from tests.e2e.uplink import left
from tests.e2e.views import FullNode, agreed, start_full_node
from tests.netns.capture import Capture
from tests.netns.served import host_state
from tests.netns.waiting import wait_until

MIB = 1 << 20
COUNTRIES = "DE", "DE", "DE", "DE", "FR"
PRICES = "10", "11", "12", "13", "14"
CHANGED = "9"
UNIT = 10**6  # base units of the token
BUDGET = 30
PAUSE = 20  # seconds without a byte after which curl gives up
pytestmark = pytest.mark.netns


@dataclass
class Network:
    """Everything that runs; ``figures`` are in seconds."""

    market: Market
    bootstrap: str  # the address of the first full node, which all settings name
    nodes: list[FullNode]
    sellers: list[Seller]
    figures: dict[str, float] = field(default_factory=dict)

    def took(self, what: str, since: float) -> None:
        self.figures[what] = round(time.monotonic() - since, 1)


@pytest.fixture
def net() -> Iterator[Network]:
    with backbone() as market:
        sellers = [seller(market, number, each) for number, each in enumerate(COUNTRIES)]
        open_accounts(market, [each.name for each in sellers])
        first = start_full_node(market, 0)
        for each, price in zip(sellers, PRICES, strict=True):
            each.write_settings(price, first.multiaddr)
        with ThreadPoolExecutor(len(sellers)) as together:
            standing = [together.submit(each.stand) for each in sellers]
            wallet = together.submit(make_wallet, market)
            others = [start_full_node(market, each, first.multiaddr) for each in (1, 2)]
            for begun in (wallet, *standing):
                begun.result()
        market.at_first = dict.fromkeys(("client", *(each.name for each in sellers)), 0)
        market.at_first["client"] = market.gained("client")
        try:
            yield Network(market, first.multiaddr, [first, *others], sellers)
        finally:
            market.fs_tunnel(market.client, "down", NAME)
            for each in sellers:
                each.host.fs_tunnel(each.namespace, "down", each.tunnel)


def test_no_transfer_through_a_living_provider_stops(
    net: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    market, (bootstrap, *_), (chosen, *_, unused, changing) = net.market, net.nodes, net.sellers
    before = host_state(market.client)
    views_agree(net)
    tunnel_is_bought(net)
    with Capture(market.client, "eth0") as uplink:
        fetching = long_download(net)
        bootstrap_dies(net, bootstrap)
        goes_on(net, fetching)
        node_is_cut_off(net, changing)
        goes_on(net, fetching)
        provider_falls_silent(net, unused)
        goes_on(net, fetching)
        tunnel_moves(net, chosen, fetching)
        nothing_is_in_the_clear(net, uplink)
    books_agree(net, chosen)
    nothing_is_left(net, before)
    with capsys.disabled():
        print(f"\n{json.dumps(net.figures, indent=1)}")


def views_agree(net: Network) -> None:
    """All three full nodes show all five providers, and each provider is connected to all three."""
    started = time.monotonic()
    with ThreadPoolExecutor(len(net.sellers)) as together:
        list(together.map(Seller.serve, net.sellers))
    net.took("all serve", started)
    started = time.monotonic()
    view = agreed(net.nodes, [True] * 5)
    net.took("all views agree", started)
    expected = {
        each.account: int(price) * UNIT for each, price in zip(net.sellers, PRICES, strict=True)
    }
    assert {address: shown.per_gib for address, shown in view.items()} == expected
    for each in net.sellers:
        wait_until(
            lambda at=each: at.money().get("network", {}).get("full_nodes") == 3,  # type: ignore[misc]
            what=f"{each.name} is known to three full nodes",
            seconds=60,
        )
    net.took("each tells three full nodes", started)


def tunnel_is_bought(net: Network) -> None:
    """Buy in one country, below a price, over libp2p; two more providers stand by."""
    market, started = net.market, time.monotonic()
    conf = market.folder / "client.toml"
    conf.write_text(f"{market.settings.read_text()}\n[network]\nbootstrap = [{net.bootstrap!r}]\n")
    said = market.ok(
        market.client,
        *("up", "--country", "DE", "--max-price", "20/GiB", "--budget"),
        *(f"{BUDGET} {market.symbol}", "--yes", "--order", "price", "--settings", conf),
        *("--wallet", market.folder / "wallet.json"),
        *("--password-file", market.folder / "password", NAME),
    )
    net.took("up", started)
    assert "cheapest of 4" in said
    market.wait_for_agent(NAME, "served")
    assert endpoint(market) == f"{net.sellers[0].address}:{TUNNEL}"
    waiting = {f"{each.address}:{SALES}" for each in net.sellers[1:3]}
    assert set(failover(market)["waiting"]) == waiting


def long_download(net: Network) -> Fetching:
    """Download over one connection, slowly enough to outlast the rest; curl ends if it stalls."""
    fetching = net.market.fetching(
        256 * MIB,
        *("--max-time", "900", "--speed-limit", "1", "--speed-time", f"{PAUSE}"),
        name="file.bin?every=0.25",
    )
    goes_on(net, fetching)
    return fetching


def goes_on(net: Network, fetching: Fetching) -> None:
    """Check that it has not ended, and that more bytes come."""
    before = fetching.done
    wait_until(
        lambda: fetching.done > before or fetching.process.poll() is not None, what="bytes come"
    )
    assert fetching.process.poll() is None, (net.market.money(NAME), net.sellers[0].money())


def bootstrap_dies(net: Network, bootstrap: FullNode) -> None:
    """Without the first full node, which introduced them, the others still hear all providers."""
    bootstrap.kill()
    net.nodes.remove(bootstrap)
    died, started = time.time_ns() // 10**6, time.monotonic()
    everybody = {each.account for each in net.sellers}
    for node in net.nodes:
        wait_until(
            lambda at=node: at.heard_after(died) == everybody,  # type: ignore[misc]
            what="all are heard without it",
            seconds=60,
            every=0.5,
        )
    agreed(net.nodes, [True] * 5)
    net.took("all are heard after the bootstrap node died", started)


def node_is_cut_off(net: Network, changing: Seller) -> None:
    """A provider changes its price meanwhile; the full node learns of it when it is back.

    Of the full nodes that the provider can reach then, its settings name none.
    """
    cut, other = net.nodes
    before = cut.view()[changing.account]
    router_link = "full1"
    net.market.internet.ip("link", "set", router_link, "down")
    changing.down()
    changing.write_settings(CHANGED, net.bootstrap)
    changing.market("announce")
    changing.serve()
    wait_until(
        lambda: other.view()[changing.account].per_gib == int(CHANGED) * UNIT,
        what="the other node shows the price",
        seconds=90,
        every=0.5,
    )
    assert cut.view()[changing.account][:2] == before[:2]
    net.market.internet.ip("link", "set", router_link, "up")
    started = time.monotonic()
    view = agreed(net.nodes, [True] * 5, seconds=180)
    net.took("views agree after healing", started)
    assert view[changing.account].per_gib == int(CHANGED) * UNIT
    assert view[changing.account].sequence > before.sequence


def provider_falls_silent(net: Network, unused: Seller) -> None:
    """Kill a provider that the client does not use."""
    unused.kill()
    started = time.monotonic()
    view = agreed(net.nodes, [True] * 4 + [False])
    net.took("a killed provider is silent in all views", started)
    assert not view[unused.account].live


def tunnel_moves(net: Network, chosen: Seller, fetching: Fetching) -> None:
    """Kill the client's own provider."""
    market, successor = net.market, net.sellers[1]
    chosen.kill()
    started = time.monotonic()
    wait_until(lambda: failover(market)["moves"], what="the tunnel moves", seconds=60)
    wait_until(lambda: market.fetch(MIB) == MIB, what="bytes come again", seconds=60)
    net.took("bytes come again after the fail-over", started)
    (move,) = failover(market)["moves"]
    assert move["origin"] == f"{chosen.address}:{SALES}"
    assert move["target"] == f"{successor.address}:{SALES}"
    assert endpoint(market) == f"{successor.address}:{TUNNEL}"
    fetching.process.kill()


def nothing_is_in_the_clear(net: Network, uplink: Capture) -> None:
    """Check that all packets went to tunnels, or to providers that sell one."""
    frames = [each.data for each in uplink.frames() if each.outgoing and each.data]
    sold = {
        place
        for each in net.sellers[:3]
        for place in ((each.address, "udp", TUNNEL), (each.address, "tcp", SALES))
    }
    gone = left(frames)
    assert {(each.address, "udp", TUNNEL) for each in net.sellers[:2]} <= gone <= sold


def books_agree(net: Network, chosen: Seller) -> None:
    """Check that the chain pays each provider what its client counted, even dead providers."""
    market, successor = net.market, net.sellers[1]
    market.wait_for_agent(NAME, "served")
    elsewhere = market.money(NAME)["elsewhere"]
    (before,) = [each for each in elsewhere if int(each["paid"]["units"])]
    assert "over (done)" in market.down()
    paid = {
        chosen.name: int(before["paid"]["units"]),
        successor.name: int(successor.money()["paid"]["units"]),
    }
    chosen.serve()
    chosen.down()
    for name, units in paid.items():
        assert units > 0
        wait_until(lambda at=name: market.gained(at) == paid[at], what=f"{name} is paid")  # type: ignore[misc]
    orders = orders_of(market)
    held = sum(unclaimed(each) for each in orders if each["state"] == "open")
    assert -market.gained("client") == sum(paid.values()) + held, (paid, orders)


def orders_of(market: Market) -> list[dict[str, Any]]:
    """Return the client's channels; some stay open until they are settled.

    These are the channels with standbys and with dead providers.
    """
    said = json.loads(
        market.ok(
            *(market.client, "market", "orders", "--json", "--settings", market.settings),
            *("--wallet", market.folder / "wallet.json"),
        )
    )
    orders = said["orders"]
    assert isinstance(orders, list)
    return orders


def unclaimed(order: dict[str, Any]) -> int:
    return int(order["deposit"]["units"]) - int(order["claimed"]["units"])


def nothing_is_left(net: Network, before: str) -> None:
    """Check that every host is as before; killed hosts too, after the same ``down``."""
    market = net.market
    for each in net.sellers:
        each.host.fs_tunnel(each.namespace, "down", each.tunnel)
        wait_until(each.is_gone, what=f"nothing is left of {each.name}")
    assert host_state(market.client) == before
    assert not market.client.pids()
    tunnels = [NAME, *(each.tunnel for each in net.sellers)]
    assert not [each for each in Path("/run/wireguard").glob("*") if each.stem in tunnels]


def failover(market: Market) -> dict[str, Any]:
    told = market.money(NAME)["failover"]
    assert isinstance(told, dict)
    return told


def endpoint(market: Market) -> str:
    (peer,) = market.status(market.client, NAME)["peers"]
    return str(peer["endpoint"])
