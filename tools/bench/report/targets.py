# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The targets of the bench as ratios within one run, and whether they were reached."""

from collections.abc import Sequence
from dataclasses import dataclass

from tools.bench.figures import Reading, median
from tools.bench.peers import OURS
from tools.bench.scenes import OFFLOADS

DEBIANS = "wireguard-go"


@dataclass(frozen=True)
class Target:
    """One of our figures, perhaps divided by another program's, and its bounds."""

    what: str
    figure: str
    must: float | None
    aim: float | None = None
    of: tuple[str, str] | None = None  # (program, figure): ours is divided by this one
    at_least: bool = True
    per_scene: bool = True  # measured in each offload mode

    def reached(self, value: float, bound: float) -> bool:
        return value >= bound if self.at_least else value <= bound


@dataclass(frozen=True)
class Verdict:
    """PASS or FAIL; "aim met" or "aim missed" if there is only an aim; "-" if not measured."""

    target: Target
    scene: str
    value: float | None

    @property
    def result(self) -> str:
        target = self.target
        if self.value is None:
            return "-"
        if target.must is not None and not target.reached(self.value, target.must):
            return "FAIL"
        passed = "aim" if target.must is None else "PASS, aim"
        if target.aim is None:
            return "PASS"
        return f"{passed} {'met' if target.reached(self.value, target.aim) else 'missed'}"


def _speed(what: str, figure: str) -> tuple[Target, ...]:
    return (
        Target(f"{what}, to {DEBIANS}", figure, 11, 14, of=(DEBIANS, figure)),
        Target(f"{what}, to the bare veth", figure, 0.20, 0.25, of=("veth", figure)),
    )


def _latency(what: str, figure: str) -> Target:
    return Target(f"{what}, to {DEBIANS}", figure, 0.5, of=(DEBIANS, figure), at_least=False)


TARGETS = (
    *_speed("TCP there", "there"),
    *_speed("TCP back", "back"),
    Target("four streams, to one", "four", 1.0, of=(OURS, "there")),
    Target(f"small packets, to {DEBIANS}", "small", None, 6, of=(DEBIANS, "small")),
    Target(
        f"small packets in batches, to {DEBIANS}",
        *("small_batches", 6),
        of=(DEBIANS, "small_batches"),
    ),
    Target("small packets, to the bare veth", "small", None, 0.8, of=("veth", "small")),
    _latency("round trip, median", "round_trip"),
    _latency("round trip, p99", "round_trip_p99"),
    Target(
        *(f"CPU per GiB, to {DEBIANS}", "cpu", 1 / 10, 1 / 13),
        of=(DEBIANS, "cpu"),
        at_least=False,
    ),
    Target(
        "both ends up to first packet, ms", "first_packet", 150, at_least=False, per_scene=False
    ),
    Target("handshakes a second, one core", "handshakes", 1500, per_scene=False),
    Target("vouchers checked a second, one core", "vouchers_checked", 2000, per_scene=False),
    Target("a paid tunnel, to an unpaid one", "paid_ratio", 0.97, per_scene=False),
    Target("sessions of one provider's agent", "sessions_held", 500, per_scene=False),
    Target("gas of opening", "gas_open", 60_000, at_least=False, per_scene=False),
    Target("gas of the first voucher", "gas_redeem", 62_000, at_least=False, per_scene=False),
    Target("gas of a later one", "gas_redeem_later", 45_000, at_least=False, per_scene=False),
    Target("gas of closing", "gas_close", 53_000, at_least=False, per_scene=False),
    Target("API requests a second, one core", "api_rate", 1000, per_scene=False),
    Target("one client among idle peers, to alone", "idle_ratio", 0.95, per_scene=False),
    Target("Jain's index, clients sending", "jain_there", 0.95, per_scene=False),
    Target("Jain's index, clients receiving", "jain_back", 0.95, per_scene=False),
    # The cost is within the noise for throughput. Small packets pay for connection tracking.
    Target("sandbox, to none, TCP", "sandbox_tcp", 0.97, per_scene=False),
    Target("sandbox, to none, small packets", "sandbox_small", None, 0.97, per_scene=False),
    Target("kill switch, to none, TCP", "switch_tcp", 0.97, per_scene=False),
    Target("kill switch, to none, small packets", "switch_small", None, 0.9, per_scene=False),
    # A few pages are no growth, because a real leak goes on.
    Target("growth under load, MiB", "growth", 1.0, at_least=False, per_scene=False),
)


def judge(readings: Sequence[Reading], scenes: Sequence[str]) -> list[Verdict]:
    """Judge all targets; targets of speed once for each offload mode."""
    return [
        Verdict(target, scene, _value(target, readings, scene))
        for target in TARGETS
        for scene in (scenes if target.per_scene else list(OFFLOADS)[:1])
    ]


def _value(target: Target, readings: Sequence[Reading], scene: str) -> float | None:
    ours = median(readings, scene, OURS, target.figure)
    if target.of is None or ours is None:
        return ours
    other = median(readings, scene, *target.of)
    return ours / other if other else None
