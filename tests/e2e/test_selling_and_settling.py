# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a budget buys, what providers announce, and how a client reclaims money."""

import json
import os
import signal
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.e2e.market import NAME, PROVIDER, RPC, SALES, SOLD, Market
from tests.netns.waiting import wait_until
from tools.testing import patience

MIB = 1 << 20
pytestmark = pytest.mark.netns


def wallet(scene: Market) -> tuple[str | Path, ...]:
    return ("--settings", scene.settings, "--wallet", scene.folder / "wallet.json")


def rpc(scene: Market, method: str, *params: object) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request, within = Request(RPC, body), patience.seconds(20)  # noqa: S310
    with scene.internet.entered(), urlopen(request, timeout=within) as reply:  # noqa: S310
        return json.load(reply)["result"]


def test_a_budget_is_never_exceeded(scene: Market) -> None:
    scene.serve()
    scene.up("--budget", f"0.05 {scene.symbol}")  # the last option counts: 5.12 MiB
    fetching = scene.fetching(32 * MIB)
    wait_until(lambda: scene.money(NAME).get("reason") == "spent", what="the budget is spent")
    assert fetching.stalled() < 8 * MIB
    paid = int(scene.money(NAME)["paid"]["units"])
    assert 49_900 < paid <= 50_000  # the rest does not pay for a packet
    wait_until(lambda: scene.gained("provider"), what="the channel is closed")
    assert scene.gained("provider") == paid
    assert scene.gained("client") == -paid
    fetching.process.kill()


def test_a_quote_is_told_and_buys_nothing(scene: Market) -> None:
    scene.serve()
    told = json.loads(
        scene.ok(
            *(scene.client, "market", "quote", "--json", f"{PROVIDER}:{SALES}"),
            *wallet(scene),
        )
    )
    assert told["per_gib"]["text"] == f"10 {scene.symbol}"
    assert told["node"] == scene.money(SOLD)["node"]
    other = scene.folder / "other.toml"
    other.write_text(f'address = "{PROVIDER}:{SALES}"\nnode = "0x{"11" * 20}"\n')
    refused = scene.fs_tunnel(scene.client, "market", "quote", other, *wallet(scene))
    assert refused.code == 1
    assert "by another provider" in refused.err
    assert scene.gained("client") == 0


def test_what_a_provider_keeps_open_comes_back_in_two_steps(scene: Market) -> None:
    scene.serve()
    scene.up()
    scene.wait_for_agent(NAME, "served")
    scene.fetch(MIB // 4)  # less than half a window: no voucher was due
    agent = int(scene.money(SOLD)["pid"])
    with open(f"/proc/{agent}/stat") as file:  # its helper, which would start the agent again
        helper = int(file.read().rpartition(")")[2].split()[1])
    for pid in (helper, agent):
        os.kill(pid, signal.SIGKILL)
    said = scene.ok(scene.client, "down", NAME)
    assert "closing" in said
    settle = ("market", "settle", "--yes", "--password-file", scene.folder / "password")
    assert "closing" in scene.ok(scene.client, *settle, *wallet(scene))
    assert "closing" in scene.ok(scene.client, *settle, *wallet(scene))
    assert scene.gained("client") < 0
    latest = int(rpc(scene, "eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    rpc(scene, "testing_timeTravel", latest + 2 * 3600)
    assert ": closed" in scene.ok(scene.client, *settle, *wallet(scene))
    assert scene.gained("client") == 0
    assert "no channel is open" in scene.ok(scene.client, *settle, *wallet(scene))
