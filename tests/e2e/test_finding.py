# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A client finds a provider in the network and buys from it: ``up --country``, ``market list``."""

import json
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.market import NAME, PROVIDER, SALES, SOLD, WEB, Market, account_of
from tests.netns.served import Finished
from tests.netns.topology import REPOSITORY
from tests.netns.waiting import wait_until

MIB = 1 << 20
CLOSED = SALES + 7  # nobody sells there
pytestmark = pytest.mark.netns


def address_of(scene: Market, name: str) -> str:
    return str(account_of(scene, name).address)


@pytest.fixture(scope="module")
def network(built: Market) -> Any:
    """Run two providers, the cheaper of them dead, and three full nodes; one hides both."""
    chain = built.folder / "chain"
    key = subprocess.run(
        [sys.executable, "-m", "fs_tunnel.cli.main", "pubkey"],
        input=_private_key(built),
        capture_output=True,
        text=True,
        check=True,
        env=built.env,
    ).stdout.strip()
    other = chain / "other-node.key"
    other.touch(mode=0o600)
    other.write_text(secrets.token_hex(32) + "\n")
    told = built.folder / "network"
    told.mkdir()
    (told / "scene.json").write_text(
        json.dumps(
            {
                "settings": str(built.settings),
                "address": WEB,
                "full_nodes": ["truth", "hide", "truth"],
                "providers": [
                    {
                        "key_file": str(chain / "provider.key"),
                        "node_key_file": str(chain / "node.key"),
                        "endpoint": f"{PROVIDER}:51820",
                        "sales": f"{PROVIDER}:{SALES}",
                        "wireguard_key": key,
                        "per_gib": 10 * 10**6,
                        "country": "DE",
                    },
                    {
                        "key_file": str(chain / "deployer.key"),
                        "node_key_file": str(other),
                        "endpoint": f"{PROVIDER}:51821",
                        "sales": f"{PROVIDER}:{CLOSED}",
                        "wireguard_key": key,
                        "per_gib": 9 * 10**6,
                        "country": "DE",
                    },
                ],
            }
        )
    )
    process = built.internet.start(
        *(sys.executable, "-m", "tests.e2e.network", str(told / "scene.json")),
        cwd=str(REPOSITORY),
        env=built.env,
    )
    found = told / "addresses.json"
    wait_until(
        lambda: found.exists() or process.poll() is not None,
        what="the network is there",
        seconds=60,
    )
    assert process.poll() is None
    return json.loads(found.read_text())


def _private_key(scene: Market) -> str:
    conf = (scene.folder / f"{SOLD}.conf").read_text()
    return conf.split("PrivateKey = ")[1].split("\n")[0] + "\n"


def settings(scene: Market, full_nodes: list[str]) -> Path:
    """Write the market.toml of a client that knows these full nodes."""
    path = scene.folder / "client.toml"
    path.write_text(
        f"{scene.settings.read_text()}\n[network]\nbootstrap = {json.dumps(full_nodes)}\n"
    )
    return path


def listed(scene: Market, conf: Path, *options: str) -> tuple[dict[str, Any], str]:
    wallet = scene.folder / "wallet.json"
    where: tuple[str | Path, ...] = ("--settings", conf, "--wallet", wallet)
    done = scene.fs_tunnel(scene.client, "market", "list", "--json", *where, *options)
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert isinstance(said, dict)
    return said, done.err


def up(scene: Market, conf: Path, *options: str) -> Finished:
    """Buy for at most 5 tokens."""
    wallet, password = scene.folder / "wallet.json", scene.folder / "password"
    budget = ("--budget", f"5 {scene.symbol}", "--yes")
    where: tuple[str | Path, ...] = ("--settings", conf, "--wallet", wallet)
    said = ("up", *budget, *where, "--password-file", password, *options, NAME)
    return scene.fs_tunnel(scene.client, *said)


def test_the_list_says_who_suits_and_which_full_node_hides_them(
    scene: Market, network: list[str]
) -> None:
    conf = settings(scene, network)
    said, warned = listed(scene, conf, "--country", "DE", "--order", "price")
    cheap, dear = said["providers"]
    assert (cheap["provider"], dear["provider"]) == (
        address_of(scene, "deployer"),
        address_of(scene, "provider"),
    )
    assert dear["per_gib"] == {"units": "10000000", "text": f"10 {scene.symbol}"}
    assert dear["stake"]["text"] == f"500 {scene.symbol}"
    assert (dear["free_slots"], dear["slots"], dear["claimed_country"]) == (49, 50, "DE")
    assert len(said["full_nodes"]) == 3 and not said["used_dht"]
    assert f"full node {network[1]} does not show 2 of 2 live providers" in warned
    said, _ = listed(scene, conf, "--max-price", "9.5/GiB")
    assert [each["provider"] for each in said["providers"]] == [cheap["provider"]]
    for wish in (("--country", "FR"), ("--service", "relay"), ("--min-uptime", "99%")):
        said, _ = listed(scene, conf, *wish)
        assert said["providers"] == []


def test_what_is_found_is_bought_and_carries_traffic(scene: Market, network: list[str]) -> None:
    """The cheaper provider is asked first and does not answer, so the next one is asked."""
    conf = settings(scene, network[:1])
    scene.serve()
    done = up(scene, conf, "--country", "DE", "--max-price", "20/GiB", "--order", "price")
    assert done.code == 0, done.err
    assert "cheapest of 2" in done.out
    assert f"{PROVIDER} port {CLOSED}" in done.err
    assert scene.fetch(4 * MIB) == 4 * MIB
    wait_until(lambda: int(scene.money(NAME)["paid"]["units"]) > 0, what="it is paid")
    kept = json.loads((scene.folder / "state" / "market" / f"{NAME}.choices").read_text())
    assert len(kept["records"]) == 2 and kept["chosen"] == 1
    assert "over (done)" in scene.down()
    assert not (scene.folder / "state" / "market" / f"{NAME}.choices").exists()


def test_one_provider_is_found_by_its_address(scene: Market, network: list[str]) -> None:
    """It is found in the DHT, even if the full node that is asked hides it."""
    conf = settings(scene, network[1:2])
    scene.serve()
    address = address_of(scene, "provider")
    done = up(scene, conf, "--provider", address, "--max-price", "20/GiB")
    assert done.code == 0, done.err
    assert address in done.out
    assert scene.fetch(MIB) == MIB
    scene.down()
    for wrong in (f"0x{'11' * 20}", address_of(scene, "client")):
        done = up(scene, conf, "--provider", wrong, "--max-price", "20/GiB")
        assert done.code == 1
        assert "no record of" in done.err
    done = up(scene, conf, "--provider", address, "--max-price", "20/GiB", "--country", "DE")
    assert done.code == 2


def test_limits_hold_also_where_several_suit(scene: Market, network: list[str]) -> None:
    conf = settings(scene, network)
    done = up(scene, conf, "--max-price", "1/GiB")
    assert done.code == 1
    assert "no provider matches" in done.err
    done = up(scene, conf, "--max-price", "9.5/GiB")  # only the dead provider matches
    assert done.code == 1
    assert f"no provider answers at {PROVIDER} port {CLOSED}" in done.err
    assert scene.gained("client") == 0
    nobody = settings(scene, [])
    done = up(scene, nobody, "--max-price", "20/GiB")
    assert done.code == 2
    assert "--full-node" in done.err
    done = up(scene, nobody, "--max-price", "20/GiB", "--full-node", network[0], "--choose")
    assert done.code == 2 and "--choose" in done.err
