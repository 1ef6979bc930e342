# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A prepaid place, used by the plain WireGuard that a phone would have."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fs_market.core.money.accounting import A_PACKET
from fs_market.core.money.prices import Price
from fs_tunnel.config import load
from tests.e2e.market import PROVIDER, SALES, SOLD, Market
from tests.netns.served import Finished, expect_ok
from tests.netns.topology import unique_name
from tests.netns.waiting import wait_until

MIB = 1 << 20
PAID = 100_000  # base units
BOUGHT = Price(10**7, 0).bytes_within(PAID, 0)
AT_THE_END = 64 << 10  # bytes that arrive after the credit has ended; they are counted and dropped
PLAIN = {"WG_QUICK_USERSPACE_IMPLEMENTATION": "/usr/bin/wireguard-go"}
pytestmark = pytest.mark.netns


def prepay(scene: Market, conf: Path, *options: str) -> Finished:
    return scene.fs_tunnel(
        *(scene.client, "market", "prepay", "--provider", f"{PROVIDER}:{SALES}"),
        *("--settings", scene.settings),
        *("--max-price", f"20 {scene.symbol}/GiB", "--budget", f"0.1 {scene.symbol}"),
        *("--wallet", scene.folder / "wallet.json", "--password-file", scene.folder / "password"),
        *("--output", conf),
        *options,
    )


@pytest.fixture
def conf(scene: Market) -> Iterator[Path]:
    """Yield the file to be bought; no phone is up afterwards."""
    name = unique_name("phone")
    path = scene.folder / f"{name}.conf"
    yield path
    if scene.client.has_link(name):
        scene.client.run("wg-quick", "down", str(path))


def test_a_plain_client_is_served_for_what_was_paid_and_no_further(
    scene: Market, conf: Path
) -> None:
    scene.serve()
    picture = conf.with_suffix(".svg")
    bought = prepay(scene, conf, "--yes", "--qr", "--qr-file", str(picture))
    expect_ok(bought)
    assert "trusts the provider with the whole amount" in bought.out
    assert "up to 10.24 MiB" in bought.out
    assert "not paid back" in bought.out
    assert "▄" in bought.out
    assert conf.stat().st_mode & 0o777 == picture.stat().st_mode & 0o777 == 0o600
    assert load(conf).interface.mtu
    # The amount is promised, and no agent of the client runs.
    wait_until(lambda: scene.money(SOLD)["paid"]["units"] == str(PAID), what="it has been told")
    before = conf.read_bytes()
    conf.unlink()
    again = prepay(scene, conf, "--json")
    expect_ok(again)
    assert "going on" in again.err
    assert "channel" not in again.err
    assert conf.read_bytes() == before
    said = json.loads(again.out)
    assert (said["paid"]["units"], said["bytes"], said["seconds"]) == (str(PAID), BOUGHT, None)
    scene.client.run("wg-quick", "up", str(conf), env=PLAIN)
    fetching = scene.fetching(32 * MIB)
    wait_until(lambda: not scene.money(SOLD)["clients"], what="the session is over", seconds=90)
    assert BOUGHT - A_PACKET <= scene.money(SOLD)["bytes"] <= BOUGHT + AT_THE_END
    # Bytes that were lost on the way count too, as in every session.
    assert BOUGHT // 2 <= fetching.done <= BOUGHT
    assert fetching.process.poll() is None
    fetching.process.kill()
    wait_until(lambda: scene.gained("provider"), what="the channel is closed", seconds=40)
    assert scene.gained("provider") == PAID
    assert scene.gained("client") == -PAID
    scene.client.run("wg-quick", "down", str(conf))  # the chain would otherwise be asked through it
    over = prepay(scene, conf, "--yes")
    assert over.code == 1
    assert "is over" in over.err
    assert scene.gained("client") == -PAID
    assert not list((scene.folder / "state" / "prepaid").glob(f"{conf.stem}.[cjk]*"))


def test_nothing_is_paid_ahead_without_consent(scene: Market, conf: Path) -> None:
    scene.serve()
    refused = prepay(scene, conf)
    assert refused.code == 2
    assert "--yes" in refused.err
    assert "trusts the provider with the whole amount" in refused.out
    assert not conf.exists()
    assert scene.gained("client") == 0
