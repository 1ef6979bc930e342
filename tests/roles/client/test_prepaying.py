# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``market prepay``: what it asks before money moves, and the file or message at the end."""

import io
import json
import pwd
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import segno
from click.testing import CliRunner, Result

from fs_market.core.money.prices import Price
from fs_market.core.money.units import Token
from fs_market.core.wire.ethereum import Address
from fs_market.errors import MarketError
from fs_net.peer_ids import peer_id
from fs_tunnel.cli.market.group import market
from fs_tunnel.config import load
from fs_tunnel.roles import open_market
from fs_tunnel.roles.client import prepaying
from fs_tunnel.roles.client.deals import Payer
from fs_tunnel.roles.client.prepaying import _PrepaidDeal, _worth
from fs_tunnel.roles.client.providers import Provider
from fs_tunnel.roles.starts import PrepayStart, User
from fs_wire.errors import FlowShieldError
from fs_wire.types import KEY_LEN, PublicKey
from tests.roles.client.test_places import TOLD as PLACE_TOLD

TOKEN = Token("FST", 6, Address(bytes(20)))
NODE = Address(bytes(range(20)))
CHANNEL = bytes(range(32))
PAYER = Address(b"\1" * 20)
THEIRS = PublicKey(bytes(range(KEY_LEN))).to_base64()
TOLD: dict[str, Any] = {
    **PLACE_TOLD,
    "wireguard_key": PublicKey(b"\2" * KEY_LEN).to_base64(),
    "channel": CHANNEL.hex(),
    "node": str(NODE),
    "paid": 5_000_000,
    "expires_at": 1_900_000_000,
    "per_gib": 1_000_000,
    "per_hour": 0,
}
Answer = Callable[[_PrepaidDeal], object]


class Scene:
    """Takes the place of chain and agents; ``answers`` are by the provider's port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.conf = folder, folder / "phone.conf"
        self.answers: dict[int, Answer] = {4700: lambda _: TOLD}
        self.asked: list[PrepayStart] = []

    def run(self, *options: str) -> Result:
        words = ["prepay", "--output", str(self.conf), "--wallet", str(self.folder / "w.json")]
        return CliRunner().invoke(market, [*words, *options])

    def buy(self, *options: str, port: int = 4700) -> Result:
        return self.run(
            *("--provider", f"192.0.2.1:{port}", "--max-price", "1/GiB", "--budget", "5 FST"),
            *options,
        )

    @property
    def kept(self) -> set[str]:
        """Return the files of the purchase; the books' folder belongs to the agent."""
        return {each.suffix for each in (self.folder / "prepaid").glob("phone.*")} - {".books"}


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene(tmp_path)

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[Any]:
        settings = SimpleNamespace(chain_id=1, channels=Address(bytes(20)))
        chain = SimpleNamespace(genesis=bytes(32))
        yield SimpleNamespace(token=TOKEN, settings=settings, chain=chain)

    async def negotiate(deal: _PrepaidDeal, _end: str, start: PrepayStart) -> object:
        made.asked.append(start)
        return made.answers[deal.provider.port](deal)

    monkeypatch.setenv("FS_TUNNEL_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(open_market, "opened", opened)
    monkeypatch.setattr(Payer, "account", PAYER)
    monkeypatch.setattr(_PrepaidDeal, "_negotiate", negotiate)
    return made


def committed(told: object) -> Answer:
    """Make an agent that may have moved money before it returns or raises this."""

    def answer(deal: _PrepaidDeal) -> object:
        deal.is_committed = True
        deal._note(deal.provider)
        if isinstance(told, Exception):
            raise told
        return told

    return answer


def refused(done: Result, kind: type[FlowShieldError] = FlowShieldError) -> str:
    assert isinstance(done.exception, kind)
    return str(done.exception)


def test_a_place_becomes_a_file_for_an_app(scene: Scene) -> None:
    scene.answers[4700] = committed(TOLD)
    done = scene.buy()
    assert done.exit_code == 0, done.exception
    assert f"paid 5 FST ahead to {NODE}" in done.output
    assert scene.conf.stat().st_mode & 0o777 == 0o600
    config = load(scene.conf)
    assert config.interface.mtu == 1420
    assert [str(each) for each in config.interface.addresses] == ["10.66.0.2/32", "fd66::2/128"]
    (peer,) = config.peers
    assert (str(peer.endpoint), peer.persistent_keepalive) == ("192.0.2.1:51820", 25)
    assert [str(each) for each in peer.allowed_ips] == ["0.0.0.0/0", "::/0"]
    assert config.interface.private_key.to_base64() not in done.output


def test_the_same_name_again_is_the_same_place_for_no_other_price_or_provider(
    scene: Scene,
) -> None:
    scene.answers[4700] = committed(TOLD)
    scene.buy()
    first = scene.conf.read_text()
    done = scene.run("--provider", "192.0.2.9:1", "--max-price", "7/GiB", "--budget", "9 FST")
    assert done.exit_code == 0
    assert "going on" in done.output
    assert scene.conf.read_text() == first
    before, after = scene.asked
    assert after == before
    assert (after.host, after.port) == ("192.0.2.1", 4700)
    assert after.dealing.purse.budget == 5_000_000


def test_a_code_holds_the_file(scene: Scene) -> None:
    picture = scene.folder / "phone.svg"
    done = scene.buy("--qr-file", str(picture), "--qr")
    assert done.exit_code == 0
    code = segno.make_qr(scene.conf.read_text(), error="l", boost_error=False)
    drawn = io.BytesIO()
    code.save(drawn, kind="svg", scale=8, light="white")
    assert picture.read_bytes() == drawn.getvalue()
    assert picture.stat().st_mode & 0o777 == 0o600
    assert done.output.count("\n") > code.symbol_size()[0] // 2


def test_a_key_that_stays_on_the_phone_is_in_no_file(scene: Scene) -> None:
    done = scene.buy("--public-key", THEIRS)
    assert done.exit_code == 0
    assert "PrivateKey =" not in scene.conf.read_text()
    assert scene.asked[0].dealing.purse.wireguard_key.to_base64() == THEIRS
    assert ".conf" not in scene.kept


def test_json_is_all_that_stands_on_the_output(scene: Scene) -> None:
    scene.answers[4700] = committed({**TOLD, "per_hour": 1_000_000})
    scene.buy()
    done = scene.run("--json")
    said = json.loads(done.stdout)
    assert "going on" in done.stderr
    assert said == {
        "schema": 1,
        "conf": str(scene.conf),
        "node": str(NODE),
        "channel": "0x" + CHANNEL.hex(),
        "endpoint": "192.0.2.1:51820",
        "paid": {"units": "5000000", "text": "5 FST"},
        "price": "1 FST/GiB + 1 FST/h",
        "bytes": Price(10**6, 0).bytes_within(5 * 10**6, 0),
        "seconds": 5 * 3600,
        "usable_until": 1_900_000_000 - 600,
    }


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (["--public-key", THEIRS, "--qr"], "leave out --public-key"),
        (["--public-key", THEIRS, "--qr-file", "a.png"], "leave out --public-key"),
        (["--public-key", "none"], "key"),
        (["--json", "--qr"], "use --qr-file"),
        (["--qr-file", "a.jpg"], "neither .png nor .svg"),
        (["--country", "DE"], "leave it out"),
    ],
)
def test_what_cannot_be_is_refused_before_anybody_is_asked(
    scene: Scene, options: list[str], remedy: str
) -> None:
    assert remedy in refused(scene.buy(*options))
    assert not scene.asked


def test_a_price_and_a_budget_are_needed(scene: Scene) -> None:
    assert "--budget" in refused(scene.run("--provider", "192.0.2.1:4700"))


def test_who_is_not_root_has_it_beside_the_wallet_and_is_the_agents_user(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FS_TUNNEL_STATE_DIR", str(scene.folder / "of root"))
    nobody = pwd.getpwnam("nobody")
    monkeypatch.setattr("os.geteuid", lambda: nobody.pw_uid)
    scene.answers[4700] = committed(TOLD)
    assert scene.buy("--market-user", "root").exit_code == 0
    (start,) = scene.asked
    assert start.user == User(nobody.pw_uid, nobody.pw_gid)
    assert start.dealing.purse.books == scene.folder / "prepaid" / "phone.books"
    assert ".json" in scene.kept
    assert not (scene.folder / "of root").exists()


def test_a_file_that_is_there_is_not_replaced_by_another_place(scene: Scene) -> None:
    scene.conf.write_text("of somebody else")
    assert "name another file" in refused(scene.buy())
    assert scene.conf.read_text() == "of somebody else"
    assert not scene.asked


def test_a_place_is_for_one_key(scene: Scene) -> None:
    scene.answers[4700] = committed(TOLD)
    scene.buy("--public-key", THEIRS)
    assert "another WireGuard key" in refused(scene.buy())
    assert len(scene.asked) == 1


def test_what_is_over_is_told_and_forgotten(scene: Scene) -> None:
    scene.answers[4700] = committed(TOLD)
    scene.buy()
    scene.answers[4700] = lambda _: {"over": "spent\x1b[2J"}
    said = refused(scene.run(), MarketError)
    assert "is over (spent?[2J)" in said
    assert "repeat the command to buy another place" in said
    assert scene.kept == set()


def test_the_next_is_asked_only_while_no_money_has_moved(scene: Scene) -> None:
    both = ("--provider", "192.0.2.1:4701")
    scene.answers = {
        4700: lambda _: {"failed": "nothing came of it: full; choose another"},
        4701: committed(TOLD),
    }
    done = scene.buy(*both)
    assert done.exit_code == 0
    assert "full" in done.stderr
    assert [each.port for each in scene.asked] == [4700, 4701]


def test_nobody_else_is_asked_where_a_voucher_may_be_with_the_first(scene: Scene) -> None:
    scene.answers[4700] = committed(MarketError("a voucher for 5 FST was signed; repeat"))
    scene.answers[4701] = committed(TOLD)
    assert "was signed" in refused(scene.buy("--provider", "192.0.2.1:4701"), MarketError)
    scene.answers[4700] = committed(TOLD)
    assert scene.run().exit_code == 0
    assert [each.port for each in scene.asked] == [4700, 4700]


def test_a_deal_that_came_to_nothing_binds_nobody(scene: Scene) -> None:
    scene.answers[4700] = committed({"failed": "nothing came of it: full"})
    assert "full" in refused(scene.buy(), MarketError)
    scene.answers[4701] = committed(TOLD)
    assert scene.buy(port=4701).exit_code == 0


@pytest.mark.parametrize(
    "told",
    [
        "a place",
        {},
        {**TOLD, "endpoint": "127.0.0.1:1"},
        {**TOLD, "channel": "zz"},
        {**TOLD, "node": "zz"},
        {**TOLD, "paid": None},
        {**TOLD, "per_gib": 0},
        {**TOLD, "mtu": 70_000},
    ],
)
def test_an_agent_that_was_taken_over_writes_no_file(scene: Scene, told: object) -> None:
    scene.answers[4700] = lambda _: told
    refused(scene.buy(), MarketError)
    assert not scene.conf.exists()


def test_no_app_gets_through_a_nat(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def find(*_: object) -> tuple[list[Provider], list[object]]:
        return [Provider("", 0, peer=peer_id(secrets.token_bytes(32)))], []

    monkeypatch.setattr(prepaying, "find_providers", find)
    assert "behind a NAT" in refused(scene.buy(), MarketError)


@pytest.mark.parametrize(
    ("price", "worth"),
    [
        (Price(10**6, 0), "up to 2.00 GiB"),
        (
            Price(0, 10**6),
            "up to 2 h, and that clock runs from now on, used or not",
        ),
        (
            Price(10**6, 4 * 10**6),
            (
                "up to 2.00 GiB, less for time: "
                "up to 30 min, and that clock runs from now on, used or not"
            ),
        ),
    ],
)
def test_what_an_amount_buys_is_said(price: Price, worth: str) -> None:
    assert _worth(price, 2 * 10**6) == worth


def test_the_trust_is_told_before_the_question(scene: Scene) -> None:
    deal = object.__new__(_PrepaidDeal)
    deal._market, deal._deposit = SimpleNamespace(token=TOKEN), 5 * 10**6  # type: ignore[assignment]
    offer = SimpleNamespace(per_gib=10**6, per_hour=0)
    said = deal._risk(offer, 1_900_000_000)  # type: ignore[arg-type]
    for each in ("5 FST buys up to 5.00 GiB", "the whole amount", "not paid back", "2030-03-17"):
        assert each in said
    assert deal._question("5 FST") == "Pay 5 FST ahead?"
