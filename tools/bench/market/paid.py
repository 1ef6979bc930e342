# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The cost of paying: a download through a provider, unpaid and paid in turns."""

import statistics
from pathlib import Path

from tests.e2e.market import NAME, PROVIDER, SOLD, WEB, Market, market
from tests.netns.peers import KeyPair
from tests.netns.topology import run
from tools.bench.figures import Sample
from tools.bench.traffic import speed

_PRICE = "0.05"  # whole tokens for a GiB, so that the budget lasts
_TURNS = 4
_PLAIN = "bench-plain"
_INSIDE = "10.66.0.250"
_WARM_UP = 2.0  # seconds, because the credit window of a new client grows as it pays


def measure(_: Path, *, seconds: float) -> Sample:
    """Download from beyond the provider; both sides' books say what is paid."""
    with market(price=_PRICE) as scene:
        speed.serve(scene.internet)
        plain = _add_plain_client(scene)
        scene.serve()
        try:
            found: dict[str, list[float]] = {"unpaid": [], "paid": []}
            for turn in range(_TURNS):
                # The first measurement finds a machine that has rested.
                for kind in ("unpaid", "paid") if turn % 2 else ("paid", "unpaid"):
                    name = _bring_up(scene, kind, plain)
                    found[kind].append(_download(scene, seconds))
                    scene.ok(scene.client, "down", name)
        finally:
            scene.fs_tunnel(scene.client, "down", NAME)
            scene.fs_tunnel(scene.client, "down", _PLAIN)
            scene.fs_tunnel(scene.provider, "down", SOLD)
    unpaid, paid = statistics.median(found["unpaid"]), statistics.median(found["paid"])
    yield "unpaid", unpaid
    yield "paid", paid
    yield "paid_ratio", paid / unpaid


def _bring_up(scene: Market, kind: str, plain: Path) -> str:
    if kind == "unpaid":
        scene.ok(scene.client, "up", plain)
        return _PLAIN
    scene.up()
    scene.wait_for_agent(NAME, "served")
    return NAME


def _download(scene: Market, seconds: float) -> float:
    speed.tcp(scene.client, WEB, _WARM_UP, "-R")
    return speed.tcp(scene.client, WEB, seconds, "-R")[0]


def _add_plain_client(scene: Market) -> Path:
    """Add a client to the provider's file, which does not pay."""
    conf = scene.folder / f"{SOLD}.conf"
    private = next(
        line.split(" = ")[1]
        for line in conf.read_text().splitlines()
        if line.startswith("PrivateKey")
    )
    theirs, ours = run("wg", "pubkey", stdin=private).strip(), KeyPair.generate()
    with conf.open("a") as file:
        file.write(f"[Peer]\nPublicKey = {ours.public}\nAllowedIPs = {_INSIDE}/32\n")
    plain = scene.folder / f"{_PLAIN}.conf"
    plain.touch(mode=0o600)
    plain.write_text(
        f"[Interface]\nPrivateKey = {ours.private}\nAddress = {_INSIDE}/32\n"
        f"[Peer]\nPublicKey = {theirs}\nEndpoint = {PROVIDER}:51820\n"
        "AllowedIPs = 0.0.0.0/0, ::/0\n"
    )
    return plain
