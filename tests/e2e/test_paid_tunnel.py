# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A paid tunnel from its quote to the closed channel, and what is left if somebody is killed."""

import json
import os
import re
import signal
from itertools import product
from pathlib import Path

import pytest

from tests.e2e.market import NAME, PROVIDER, SALES, SOLD, WINDOW, Market
from tests.netns.waiting import wait_until
from tests.walks import pairs_at_length

GIB, MIB = 1 << 30, 1 << 20
PER_GIB = 10 * 10**6
TOLERANCE = 0.01
AT_THE_PAYMENT_PORT = 64 << 10  # bytes
pytestmark = pytest.mark.netns


def cost(count: float) -> float:
    return count * PER_GIB / GIB


def end(scene: Market, said: str = r"over \(done\)") -> dict[str, int]:
    """Take the tunnel down, and check that both books and the chain agree."""
    assert re.search(said, scene.ok(scene.client, "down", NAME))

    def settled() -> bool:
        return not scene.money(SOLD)["clients"] and scene.gained("provider") > 0

    try:
        wait_until(settled, what="the provider has settled", seconds=40)
    except AssertionError as error:
        raise AssertionError(f"{error}; {scene.money(SOLD)}") from None
    paid = int(scene.money(SOLD)["paid"]["units"])
    assert scene.gained("provider") == paid
    assert scene.gained("client") == -paid
    return {"paid": paid}


def test_what_is_used_is_paid_and_the_rest_comes_back(scene: Market) -> None:
    assert "selling at" in scene.serve()
    said = scene.up()
    assert "channel 0x" in said
    assert "gas:" in said
    assert scene.fetch(20 * MIB) == 20 * MIB
    wait_until(
        lambda: abs(scene.money(SOLD)["bytes"] - scene.money(NAME)["bytes"]) < WINDOW // 16,
        what="both count the same",
    )
    ours = scene.money(NAME)
    assert ours["state"] == "served"
    assert int(ours["paid"]["units"]) > 0
    assert ours["paid"]["text"].endswith(scene.symbol)
    told = scene.ok(scene.client, "down", NAME)
    assert "over (done)" in told
    wait_until(lambda: not scene.money(SOLD)["clients"], what="the session is over")
    theirs = scene.money(SOLD)
    paid = int(theirs["paid"]["units"])
    assert paid == int(cost(theirs["bytes"]))
    assert theirs["paid"]["text"] in told
    wait_until(lambda: scene.gained("provider"), what="the channel is closed")
    assert scene.gained("provider") == paid
    assert scene.gained("client") == -paid
    # No key of the session stays, and the engine has removed the peer.
    assert not list((scene.folder / "state" / "market").glob(f"{NAME}.[cjk]*"))
    assert scene.status(scene.provider, SOLD)["peers"] == []
    assert (
        json.loads(
            scene.ok(
                *(scene.client, "market", "orders", "--json", "--settings", scene.settings),
                *("--wallet", scene.folder / "wallet.json"),
            )
        )["orders"][0]["state"]
        == "closed"
    )


def test_who_stops_paying_is_cut_off_within_a_window_and_comes_back(scene: Market) -> None:
    scene.serve()
    scene.up()
    scene.wait_for_agent(NAME, "served")
    agent = scene.signal_agent(NAME, signal.SIGSTOP)
    fetching = scene.fetching(8 * MIB)
    came = fetching.stalled()
    assert 0 < came <= WINDOW
    theirs = scene.money(SOLD)
    assert theirs["served"] == 0
    # The payment port stays open, and its traffic counts.
    assert theirs["bytes"] <= WINDOW + AT_THE_PAYMENT_PORT
    assert theirs["paid"]["units"] == "0"
    os.kill(agent, signal.SIGCONT)
    fetching.finish()  # over the same connection
    end(scene)


@pytest.mark.parametrize(
    ("side", "moment"),
    [
        *((NAME, "busy"), (SOLD, "busy"), (NAME, "leaving")),
        *pairs_at_length((SOLD, "leaving"), *product((NAME, SOLD), ("idle", "closing"))),
    ],
    ids=lambda each: {NAME: "client", SOLD: "provider"}.get(each, each),
)
def test_whoever_is_killed_the_books_agree(scene: Market, side: str, moment: str) -> None:
    """Kill while little or much passes; before the end, or with nobody left to end it."""
    scene.serve()
    scene.up()
    scene.wait_for_agent(NAME, "served")
    state = "served" if side == NAME else "ready"
    fetched = 64 * MIB if moment == "busy" else 4 * MIB
    if moment == "busy":
        fetching = scene.fetching(64 * MIB)
        for step in (1, 2):
            wait_until(lambda at=step: fetching.done > 4 * MIB * at, what="bytes come")  # type: ignore[misc]
            killed = scene.signal_agent(side, signal.SIGKILL)
            scene.wait_for_agent(side, state, but=killed)
        fetching.finish()
    else:
        scene.fetch(4 * MIB)
    if moment == "idle":
        killed = scene.signal_agent(side, signal.SIGKILL)
        scene.wait_for_agent(side, state, but=killed)
        fetched += scene.fetch(4 * MIB)

    def counted() -> bool:
        """Whether it is served, and everything was counted."""
        ours = scene.money(NAME)
        return bool(ours["state"] == "served" and ours["bytes"] >= fetched - WINDOW)

    wait_until(counted, what="it is served, and all is counted", seconds=40)
    theirs, ours = scene.money(SOLD)["bytes"], scene.money(NAME)["bytes"]
    if moment in ("closing", "leaving"):
        killed = scene.signal_agent(side, signal.SIGKILL)
        if moment == "closing":
            scene.wait_for_agent(side, state, but=killed)
    # A provider that takes its time to be back closes without the client.
    said = r"over \(done\)|closing" if moment == "leaving" else r"over \(done\)"
    paid = end(scene, said)["paid"]
    risk = 3 if moment == "busy" else 2  # windows: one in flight, and one for each killed agent
    most = 64 * MIB if moment == "busy" else WINDOW
    assert paid >= cost(theirs - risk * most)
    assert paid <= cost(ours * (1 + TOLERANCE) + risk * most)


def test_a_client_that_lost_its_engine_goes_on_with_its_channel(scene: Market) -> None:
    scene.serve()
    scene.up()
    scene.fetch(2 * MIB)
    os.kill(scene.status(scene.client, NAME)["pid"], signal.SIGKILL)
    wait_until(
        lambda: scene.fs_tunnel(scene.client, "status", NAME).out.count("blocked"),
        what="it is blocked",
    )
    assert "channel" not in scene.up()
    scene.fetch(2 * MIB)
    end(scene)


def test_a_client_that_lost_everything_but_its_disk_goes_on_with_its_channel(scene: Market) -> None:
    scene.serve()
    scene.up()
    scene.fetch(2 * MIB)
    agent = scene.signal_agent(NAME, signal.SIGSTOP)
    os.kill(agent, signal.SIGKILL)
    os.kill(scene.status(scene.client, NAME)["pid"], signal.SIGKILL)
    wait_until(
        lambda: scene.fs_tunnel(scene.client, "status", NAME).out.count("blocked"),
        what="it is blocked",
    )
    scene.fs_tunnel(scene.client, "down", NAME)
    assert "is open" not in scene.up()
    scene.fetch(2 * MIB)
    end(scene)


def test_a_provider_that_goes_settles_with_its_clients(scene: Market) -> None:
    scene.serve()
    scene.up()
    scene.fetch(2 * MIB)
    said = scene.ok(scene.provider, "down", SOLD)
    assert scene.symbol in said
    assert scene.gained("provider") > 0
    assert scene.gained("provider") + scene.gained("client") == 0


def test_a_price_above_the_limit_is_not_paid(scene: Market) -> None:
    scene.serve()
    refused = scene.fs_tunnel(
        *(scene.client, "up", "--provider", f"{PROVIDER}:{SALES}"),
        *("--max-price", f"9.99 {scene.symbol}/GiB", "--budget", f"1 {scene.symbol}", "--yes"),
        *("--settings", scene.settings, "--wallet", scene.folder / "wallet.json"),
        *("--password-file", scene.folder / "password", NAME),
    )
    assert refused.code == 1
    assert "price" in refused.err
    assert scene.gained("client") == 0


def test_nothing_moves_without_consent(scene: Market) -> None:
    scene.serve()
    refused = scene.fs_tunnel(
        *(scene.client, "up", "--provider", f"{PROVIDER}:{SALES}"),
        *("--max-price", f"20 {scene.symbol}/GiB", "--budget", f"1 {scene.symbol}"),
        *("--settings", scene.settings, "--wallet", scene.folder / "wallet.json"),
        *("--password-file", scene.folder / "password", NAME),
    )
    assert refused.code == 2
    assert "--yes" in refused.err
    assert scene.gained("client") == 0


def test_the_agents_have_no_rights_and_no_secrets_in_sight(scene: Market) -> None:
    scene.serve()
    scene.up()
    for name, state in ((NAME, "served"), (SOLD, "ready")):
        process = Path("/proc") / str(scene.wait_for_agent(name, state)["pid"])
        lines = (process / "status").read_text().splitlines()
        status = {line.partition(":")[0]: line.partition(":")[2].split() for line in lines}
        assert "0" not in status["Uid"] + status["Gid"] + status["Groups"]
        assert {int(status[kind][0], 16) for kind in ("CapEff", "CapPrm", "CapInh")} == {0}
        assert status["NoNewPrivs"] == ["1"]
        argv = (process / "cmdline").read_bytes().split(b"\0")
        assert argv[-2:] == [b"fs_tunnel.roles.agent", b""]
