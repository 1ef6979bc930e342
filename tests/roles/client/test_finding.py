# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The command and its agent, with a script in the agent's place."""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fs_market.chain.chain import Chain
from fs_market.chain.fees import FeePolicy
from fs_market.core.wire.ethereum import Address
from fs_market.errors import MarketError
from fs_market.settings import MarketSettings
from fs_net.core.matching import Wishes
from fs_net.core.records import network_id, sign
from fs_net.ports import Listing
from fs_tunnel.roles import conversation
from fs_tunnel.roles.client import finding
from fs_tunnel.roles.client.finding import Finding, Query, search
from fs_wire.errors import UsageError
from tests.net.world import Provider

REGISTRY = Address(b"\x07" * 20)
NETWORK = network_id(1, REGISTRY.raw)
MARKET = MarketSettings("http://unused", 1, 1, FeePolicy(), REGISTRY, REGISTRY, REGISTRY, REGISTRY)
FULL_NODE = "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooW"


class Listings:
    """Takes the place of ``ChainListings``: bob and carol have stake."""

    asked: ClassVar[list[bytes]] = []

    def __init__(self, chain: object, settings: object) -> None:
        self.network = NETWORK

    async def look_up(self, provider: bytes) -> Listing | None:
        Listings.asked.append(provider)
        return self.all().get(provider)

    async def refresh(self) -> None: ...

    def all(self) -> Mapping[bytes, Listing]:
        return {each.address: each.listing() for each in (bob(), carol())}


def bob() -> Provider:
    return Provider(1, NETWORK)


def carol() -> Provider:
    return Provider(2, NETWORK)


@dataclass
class Scene:
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def search(self, script: str, query: Query = Query(Wishes())) -> Finding:  # noqa: B008
        """Search with an agent that runs ``script``; its ``ask`` writes a line and reads one."""
        program = self.folder / "agent.py"
        program.write_text(
            "import json, sys\n"
            "launch, start = json.loads(input()), json.loads(input())\n"
            "def say(said): print(json.dumps(said), flush=True)\n"
            "def ask(said):\n    say(said)\n    return json.loads(input())\n" + script
        )
        self.monkeypatch.setattr(conversation, "AGENT", (sys.executable, str(program)))
        settings = self.folder / "market.toml"
        if not settings.exists():
            settings.write_text(f'[network]\nbootstrap = ["{FULL_NODE}"]\n')
        self.told: list[str] = []
        chain: Chain = object()  # type: ignore[assignment]
        return asyncio.run(search(query, chain, MARKET, settings, 0, self.told.append))


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(finding, "ChainListings", Listings)
    Listings.asked = []
    return Scene(tmp_path, monkeypatch)


def found(*hits: list[Any], **said: Any) -> dict[str, Any]:
    content = {"hits": hits, "nodes": [], "failed": {}, "used_dht": False, **said}
    return {"found": content}


def hit(provider: Provider, **said: Any) -> list[Any]:
    now = time.time_ns() // 10**6
    return [provider.record(now, **said).raw.hex(), provider.heartbeat(now).raw.hex(), 990_000]


def ask_for(*providers: Provider) -> str:
    """Return the agent's question to the chain, as a line of its script."""
    return f"ask({{'listings': {[each.address.hex() for each in providers]}}})\n"


def test_what_is_true_is_taken(scene: Scene) -> None:
    said = found(hit(bob(), price_per_gib=1), hit(carol()))
    result = scene.search(ask_for(bob(), carol()) + f"say({said})")
    assert [each.candidate.provider for each in result.matches] == [
        bob().address,
        carol().address,
    ]
    assert result.matches[0].candidate.uptime == 990_000
    assert Listings.asked == [bob().address, carol().address]


def test_an_agent_that_was_taken_over_forges_nothing(scene: Scene) -> None:
    """It cannot show a provider without stake, a record under another key, or a wrong match."""
    eve = Provider(666, NETWORK)
    now = time.time_ns() // 10**6
    forged = sign(bob().record(now, price_per_gib=1).content, eve.keys.node, NETWORK).raw.hex()
    elsewhere = Provider(2)  # valid in another network
    said = found(
        [forged, hit(bob())[1], 10**6],
        hit(eve),
        hit(elsewhere),
        hit(carol(), price_per_gib=10**17),
    )
    query = Query(Wishes(max_per_gib=10**16))
    result = scene.search(ask_for(bob(), carol(), eve) + f"say({said})", query)
    assert result.matches == []


def test_who_was_not_asked_about_is_not_believed(scene: Scene) -> None:
    assert scene.search(f"say({found(hit(bob()))})").matches == []


def test_records_of_the_dht_suit_though_they_are_silent(scene: Scene) -> None:
    record, _, _ = hit(bob())
    said = found([record, "", None], used_dht=True)
    result = scene.search("ask({'listings': 'all'})\n" + f"say({said})")
    assert result.used_dht
    assert result.matches[0].candidate.entry.heartbeat is None


def test_the_agent_is_told_whom_to_ask_and_nothing_of_money(scene: Scene) -> None:
    script = "say({'error': json.dumps(start)})"
    with pytest.raises(MarketError) as caught:
        scene.search(script)
    start = json.loads(str(caught.value))
    assert start["full_nodes"] == [FULL_NODE] and not start["only_named"]
    assert set(start) == {
        *("version", "role", "user", "network", "find"),
        *("full_nodes", "only_named", "provider"),
    }
    with pytest.raises(MarketError) as caught:
        scene.search(script, Query(Wishes(), full_nodes=("/ip4/198.51.100.1/tcp/1/p2p/12D3",)))
    start = json.loads(str(caught.value))
    assert start["full_nodes"] == ["/ip4/198.51.100.1/tcp/1/p2p/12D3"] and start["only_named"]


def test_where_nobody_is_known_it_is_said(scene: Scene) -> None:
    (scene.folder / "market.toml").write_text("")
    with pytest.raises(UsageError, match="--full-node"):
        scene.search("")


NODE: dict[str, Any] = {
    "name": "/x",
    "shown": 1,
    "total": 1,
    "is_complete": True,
    "missing": [],
    "older": [],
    "refused": {},
}


@pytest.mark.parametrize(
    "script",
    [
        "print('rubbish', flush=True)",
        "print('[' * 100000, flush=True)",
        "print('\"' + 'x' * (2 << 20) + '\"', flush=True)",
        "say([])",
        "say({})",
        "say({'unknown': 1})",
        "say({'found': {}})",
        f"say({found(['00', '00'])})",
        f"say({found(['zz', '', None])})",
        f"say({found([1, '', None])})",
        f"say({found(['00' * 5000, '', None])})",
        f"say({found(['', '', -1])})",
        f"say({found(['', '', True])})",
        f"say({found(nodes={})})",
        f"say({found(nodes=[1])})",
        f"say({found(nodes=[{**NODE, 'shown': 'x'}])})",
        f"say({found(nodes=[{**NODE, 'missing': ['00']}])})",
        f"say({found(nodes=[{**NODE, 'refused': []}])})",
        f"say({found(nodes=[{**NODE, 'name': 1}])})",
        f"say({found(failed=[])})",
        "say({'listings': ['00']})",
        "say({'listings': [1]})",
    ],
)
def test_what_makes_no_sense_is_an_error_of_ours(scene: Scene, script: str) -> None:
    with pytest.raises(MarketError, match="makes no sense"):
        scene.search(script)


def test_the_chain_is_not_asked_without_end(scene: Scene) -> None:
    script = (
        "for each in range(3000):\n"
        "    ask({'listings': [each.to_bytes(20, 'big').hex()]})\n"
        f"say({found()})"
    )
    with pytest.raises(MarketError, match="asks the chain too much"):
        scene.search(script)
    assert len(Listings.asked) <= 2048
    # Each is asked about only once.
    Listings.asked = []
    scene.search(ask_for(bob()) * 3000 + f"say({found()})")
    assert Listings.asked == [bob().address]


def test_nothing_of_a_stranger_moves_the_terminal(scene: Scene) -> None:
    evil = "\x1b[2J\u202eevil\n"
    said = found(nodes=[{**NODE, "name": evil, "refused": {evil: 1}}], failed={evil: evil})
    result = scene.search(f"say({said})")
    texts = [result.nodes[0].name, *result.nodes[0].refused, *result.failed]
    assert all(text.isprintable() for text in texts)
    with pytest.raises(MarketError) as caught:
        scene.search(f"say({{'error': {evil!r}}})")
    assert str(caught.value).isprintable()


def test_an_agent_that_just_ends_is_said(scene: Scene) -> None:
    with pytest.raises(MarketError, match="ended while it searched"):
        scene.search("")


def test_progress_is_told_once_it_takes_long(scene: Scene) -> None:
    scene.monkeypatch.setattr(finding, "_LONG", 0.0)
    # The answers take longer than one turn of a task.
    scene.search(f"say({{'progress': 'asking'}})\n{ask_for(bob()) * 3}say({found()})")
    assert "asking" in scene.told
    scene.monkeypatch.setattr(finding, "_LONG", 60.0)
    scene.search(f"say({{'progress': 'asking'}})\nsay({found()})")
    assert scene.told == []
