# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""From whom a tunnel is bought if the first provider cannot be reached, and what it may cost."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fs_market.core.money.prices import Price
from fs_market.core.money.units import Token
from fs_market.core.wire.ethereum import Address
from fs_market.errors import MarketError
from fs_net.core.records import ProviderRecord, Signed, parse_untrusted
from fs_tunnel.cli import up
from fs_tunnel.linux.journal.plans import Protection
from fs_tunnel.roles import open_market
from fs_tunnel.roles.client import buying, choices, choosing, placing, standbys
from fs_tunnel.roles.client.places import Place, parse_place_untrusted
from fs_tunnel.roles.client.providers import Provider as Named
from fs_tunnel.roles.client.reaching import Unreachable
from fs_tunnel.roles.client.standbys import StandBy
from fs_tunnel.roles.market_files import MarketFiles
from fs_tunnel.roles.starts import Dealing, OrderStart, PayStart
from fs_wire.types import Endpoint, PrivateKey
from tests.net.world import Provider

NAME, BUDGET = "bought", 6_000_000
NODE = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
KINDS = ("ready", "silent", "full", "behind a NAT", "out of reach", "deaf")
PEERS = ("behind a NAT", "out of reach", "deaf")
HOPELESS = "hole punching cannot work: both NATs are symmetric; choose another provider"


class Killed(BaseException):
    """The command was killed."""


@dataclass
class World:
    """Providers of these kinds, the best first, and what happened to each, by its index.

    ``full`` refuses after the channel is open. ``deaf`` is out of reach and hears no farewell.
    """

    kinds: tuple[str, ...]
    keys: dict[str, Address] = field(default_factory=dict)
    deposits: list[tuple[int, int]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    is_unlocked: bool = False
    up: int | None = None

    def records(self) -> list[Signed[ProviderRecord]]:
        return [
            Provider(number + 1).record(
                sales=() if kind in PEERS else (Endpoint(f"192.0.2.{number + 1}", 4700),)
            )
            for number, kind in enumerate(self.kinds)
        ]

    @property
    def in_channels(self) -> int:
        return sum(deposit for _, deposit in self.deposits)


def number_of(provider: Named) -> int:
    assert provider.record is not None
    return int.from_bytes(provider.record.content.provider, "big") - 1


def number_in(start: PayStart) -> int:
    assert start.dealing.record is not None
    record = parse_untrusted(ProviderRecord, start.dealing.record)
    return int.from_bytes(record.content.provider, "big") - 1


class Deal:
    """Takes the place of an agent, a chain and a provider."""

    world: World

    def __init__(
        self,
        provider: Named,
        dealing: Dealing,
        key: Address,
        payer: "Payer",
        _market: object,
        *,
        is_committed: bool,
    ) -> None:
        self.provider, self.is_committed = provider, is_committed
        self.number = number_of(provider)
        self.dealing = dealing
        self._key, self._payer = key, payer

    async def buy_place(self, note: Callable[[Named], None]) -> tuple[Place, Dealing]:
        world = self.world
        world.asked.append(self.number)
        if world.kinds[self.number] == "silent":
            raise MarketError("no provider answers; choose another")
        self._open(note)
        if world.kinds[self.number] == "full":
            raise MarketError("nothing came of it: full; choose another provider")
        return PLACE, replace(self.dealing, relay="/a" if self.provider.peer else None)

    async def reserve(self) -> StandBy:
        if self.world.kinds[self.number] == "silent":
            raise MarketError("no provider answers; choose another")
        self._open(lambda _: None)
        start = OrderStart(dealing=self.dealing)
        return StandBy(self.provider.place, self.provider.host, self.provider.port, start)

    def _open(self, note: Callable[[Named], None]) -> None:
        if not self.is_committed:
            self.is_committed = self._payer.world.is_unlocked = True
            note(self.provider)
            self.world.deposits.append((self.number, self.dealing.purse.budget))
            self.world.keys[self.provider.name] = self._key


@dataclass
class Payer:
    wallet: Path
    world: World
    account, max_price = Address(bytes(20)), Price(2**40, 2**40)

    def lock(self) -> None:
        self.world.is_unlocked = False


PLACE = parse_place_untrusted(
    {
        "wireguard_key": PrivateKey(b"\x01" * 32).to_base64(),
        "endpoint": "192.0.2.1:51820",
        "addresses": ["10.66.0.2"],
        "dns": [],
        "gateway": "10.66.0.1",
        "payment_port": 4701,
        "mtu": 1420,
    }
)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MarketFiles:
    monkeypatch.setenv("FS_TUNNEL_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(up, "require_net_admin", lambda _: None)
    monkeypatch.setattr(placing, "Deal", Deal)
    monkeypatch.setattr(buying, "Payer", lambda wallet, *_: Payer(wallet, Deal.world))
    monkeypatch.setattr(open_market, "opened", opened)
    monkeypatch.setattr(choosing, "choose", chosen)
    monkeypatch.setattr(buying, "reach_of", reach_of)
    return MarketFiles(NAME)


@asynccontextmanager
async def opened(*_: object) -> AsyncIterator[Any]:
    async def do(_: object) -> list[Any]:
        return [SimpleNamespace(terms=SimpleNamespace(session_key=each)) for each in known]

    known = list(Deal.world.keys.values())
    settings = SimpleNamespace(chain_id=1, channels=Address(bytes(20)), registry=None)
    yield SimpleNamespace(
        token=Token("FST", 6, Address(bytes(20))),
        settings=settings,
        chain=SimpleNamespace(genesis=bytes(32)),
        journal=SimpleNamespace(do=do),
    )


async def chosen(*_: object) -> list[Signed[ProviderRecord]]:
    return Deal.world.records()


def reach_of(files: MarketFiles) -> Callable[[bool], None] | None:
    start = files.read_start()
    assert isinstance(start, PayStart)
    number = number_in(start)

    def reach(was_there: bool) -> None:
        assert not was_there
        kind = Deal.world.kinds[number]
        if kind != "behind a NAT":
            raise Unreachable(HOPELESS, is_over=kind == "out of reach")

    return reach if start.dealing.relay else None


def buy(world: World, *, dies: bool = False, **options: Any) -> None:
    """Run ``fs-tunnel up``, which may be killed when a provider is out of reach."""
    Deal.world = world
    looking = {"countries": (b"DE",), "min_uptime": 0, "services": (), "ports": (), "order": "best"}
    purchase = {
        "providers": (),
        "no_failover": False,
        "max_price": "1 FST/GiB",
        "budget": "6 FST",
        "lifetime": "1 d",
        "market_user": 0,
        "wallet_file": Path("wallet.json"),
        "password_file": None,
        "settings_file": None,
        "rpc": None,
        "yes": True,
    }

    def bring_up(_conf: str, _start: str, reach: Callable[[bool], None] | None) -> None:
        try:
            if reach is not None:
                reach(False)
        except Unreachable:
            if dies:
                raise Killed from None
            raise
        assert not world.is_unlocked
        world.up = world.asked[-1]

    looking |= {"full_nodes": (f"/ip4/192.0.2.9/tcp/4001/p2p/{NODE}",), "choose": False}
    up._buy(bring_up, NAME, Protection(), {**looking, **purchase, **options})


def kept(files: MarketFiles) -> set[str]:
    """Return what is left of a purchase, except the agent's books."""
    return {each.name for each in files.start.parent.iterdir()} - {files.books.name}


def test_who_stands_by_takes_the_place_of_who_is_out_of_reach(
    files: MarketFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(("out of reach", "ready", "ready", "ready"))
    buy(world)
    assert world.up == 1
    assert world.deposits == [(0, BUDGET // 3), (1, BUDGET // 3), (2, BUDGET // 3)]
    (said,) = capsys.readouterr().err.splitlines()
    assert "is passed over: hole punching cannot work: both NATs are symmetric" in said
    assert "its session is over" in said and "fs-tunnel market settle" in said
    found, start = standbys.read(files.standbys), files.read_start()
    assert found is not None and isinstance(start, PayStart)
    assert found.current == "192.0.2.2:4700"
    assert [each.provider for each in found.waiting] == ["192.0.2.3:4700"]
    assert number_in(start) == 1


def test_where_all_are_behind_nats_the_second_has_half(files: MarketFiles) -> None:
    world = World(("deaf", "behind a NAT", "behind a NAT"))
    buy(world)
    assert (world.up, world.asked) == (1, [0, 1])
    assert world.deposits == [(0, BUDGET // 2), (1, BUDGET // 2)]


def test_one_alone_is_not_gone_on_from(files: MarketFiles) -> None:
    for options in ({}, {"no_failover": True}):
        world = World(("out of reach", "ready") if options else ("out of reach",))
        with pytest.raises(Unreachable, match="The session is over, and nothing is up"):
            buy(world, **options)
        assert world.deposits == [(0, BUDGET)]
        assert not kept(files)
    with pytest.raises(Unreachable, match="up again to go on with it"):
        buy(World(("deaf",)))
    assert choices.read(files).chosen == 0


def test_where_all_fail_it_is_told_how_many_and_what_becomes_of_the_money(
    files: MarketFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(("silent", "out of reach", "out of reach", "behind a NAT"))
    with pytest.raises(
        MarketError, match=r"You bought from 2 providers, .* fs-tunnel market settle"
    ):
        buy(world)
    assert world.asked == [0, 1, 2]
    assert world.in_channels == BUDGET
    said = capsys.readouterr().err.splitlines()
    assert "no provider answers" in said[0] and "channel" not in said[0]
    assert HOPELESS in said[1]
    assert not kept(files)


def test_who_has_no_place_is_named_and_not_asked_again(
    files: MarketFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(("full", "out of reach", "full", "ready"))
    with pytest.raises(
        MarketError, match=r"none of 3 providers has a place; the last one, 192.0.2.3:4700: "
    ):
        buy(world)
    assert world.asked == [0, 1, 2]
    assert world.in_channels == BUDGET
    said = capsys.readouterr().err.splitlines()
    assert not files.start.exists() and not files.standbys.exists()
    assert said[0].startswith("fs-tunnel: warning: 192.0.2.1:4700 is passed over: nothing came")
    assert "fs-tunnel market settle" in said[0]


def test_who_comes_after_one_without_a_part_is_asked_all_the_same(files: MarketFiles) -> None:
    world = World(("out of reach", "behind a NAT", "ready"))
    buy(world)
    assert (world.up, world.asked) == (2, [0, 2])


def test_after_a_crash_the_part_of_who_was_passed_over_is_not_spent_twice(
    files: MarketFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(("out of reach", "ready", "ready", "ready"))
    with pytest.raises(Killed):
        buy(world, dies=True)
    buy(world)
    assert (world.up, world.asked) == (1, [0, 1])
    assert "going on with 0x" in capsys.readouterr().out
    assert world.in_channels == BUDGET
    nobody_else = World(("out of reach", "behind a NAT"))
    files.forget_keys()
    with pytest.raises(Killed):
        buy(nobody_else, dies=True)
    buy(nobody_else)
    assert nobody_else.in_channels == BUDGET
    assert (nobody_else.up, nobody_else.asked) == (1, [0, 1])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=6).map(tuple),
    no_failover=st.booleans(),
)
def test_never_more_than_the_budget_and_once_of_each(
    files: MarketFiles, kinds: tuple[str, ...], *, no_failover: bool
) -> None:
    world = World(kinds)
    try:
        buy(world, no_failover=no_failover)
    except MarketError:
        assert world.up is None
    else:
        assert world.up is not None
        assert kinds[world.up] in ("ready", "behind a NAT")
        assert files.start.exists() and files.conf.exists()
    assert world.in_channels <= BUDGET
    assert len(set(world.asked)) == len(world.asked)
    assert len({number for number, _ in world.deposits}) == len(world.deposits)
    if kinds[0] in ("ready", "behind a NAT"):
        assert world.up == 0
    files.forget_keys()
