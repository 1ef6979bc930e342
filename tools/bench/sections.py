# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The measurements of a run: a list of blocks, in an order in which programs take turns."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tools.bench.figures import Sample
from tools.bench.market import gas, paid, sessions, vouchers
from tools.bench.network import api, fullnodes, heartbeats, visible
from tools.bench.peers import OURS, Vpn, WireGuard
from tools.bench.traffic import fairness, growth, guards, handshakes, many, speed, start

Measure = Callable[[Path], Sample]
_NO_PROGRAM = Path()


@dataclass
class Settings:
    """What the command line asked for."""

    peers: Sequence[Vpn]
    sections: Sequence[str]
    offloads: Sequence[str]
    runs: int
    seconds: float
    pings: int
    idle_peers: int
    clients: int
    initiations: int
    minutes: float
    vouchers: int
    sessions: int
    program: Path = field(default=_NO_PROGRAM)  # udp_blast, after it was built

    @property
    def engines(self) -> list[WireGuard]:
        """The engines that take peers through UAPI."""
        return [each for each in self.peers if isinstance(each, WireGuard)]

    def described(self) -> dict[str, str]:
        """The settings in words, for readers of the results."""
        return {
            "runs": f"{self.runs} of each, {self.seconds:g} s a transfer, {self.pings} pings",
            "crowds": f"{self.idle_peers} idle peers, {self.clients} active clients, "
            f"{self.initiations} handshakes",
            "market": f"{self.vouchers} vouchers, {self.sessions} sessions",
        }


@dataclass(frozen=True)
class Measurement:
    """One block: its namespaces are made for it, and removed after it."""

    section: str
    scene: str
    peer: str
    run: int
    measure: Measure

    def __str__(self) -> str:
        scene = f", offload {self.scene}" if self.section == "speed" else ""
        return f"{self.section}, {self.peer}{scene}, run {self.run}"


def plan(settings: Settings) -> list[Measurement]:
    """Return all blocks. Within a run, the programs follow one another."""
    return [
        block
        for section in settings.sections
        for run in range(1, settings.runs + 1)
        for block in SECTIONS[section](settings, run)
    ]


def _speed(settings: Settings, run: int) -> Iterator[Measurement]:
    for scene in settings.offloads:
        for vpn in settings.peers:
            yield Measurement(
                *("speed", scene, vpn.name, run),
                partial(
                    speed.measure,
                    vpn,
                    offload=scene,
                    program=settings.program,
                    seconds=settings.seconds,
                    pings=settings.pings,
                ),
            )


def _crowds(settings: Settings, run: int, section: str) -> Iterator[Measurement]:
    """Yield the measurements of engines that take peers through UAPI."""
    many_peers, seconds = settings.idle_peers, settings.seconds
    for vpn in settings.engines:
        measure: dict[str, Measure] = {
            "load": partial(many.measure_load, vpn, count=many_peers),
            "idle": partial(many.measure_among_idle, vpn, count=many_peers, seconds=seconds),
            "start": partial(start.measure, vpn),
            "handshakes": partial(handshakes.measure, vpn, count=settings.initiations),
            "fairness": partial(
                fairness.measure, vpn, clients=settings.clients, seconds=2 * seconds
            ),
        }
        if section == "start" and not vpn.engine.is_ours:
            continue
        yield Measurement(section, "on", vpn.name, run, measure[section])


def _growth(settings: Settings, run: int) -> Iterator[Measurement]:
    if run > 1:
        return  # one run is long enough
    for vpn in settings.engines:
        if vpn.name == OURS:
            measure = partial(growth.measure, vpn, minutes=settings.minutes)
            yield Measurement("growth", "on", vpn.name, run, measure)


def _guards(settings: Settings, run: int) -> Iterator[Measurement]:
    for vpn in settings.engines:
        if vpn.name == OURS:
            measure = partial(
                guards.measure, vpn, program=settings.program, seconds=settings.seconds
            )
            yield Measurement("guards", "on", vpn.name, run, measure)


def _vouchers(settings: Settings, run: int) -> Iterator[Measurement]:
    if any(vpn.name == OURS for vpn in settings.peers):
        measure = partial(vouchers.measure, count=settings.vouchers)
        yield Measurement("vouchers", "on", OURS, run, measure)


def _paid(settings: Settings, run: int) -> Iterator[Measurement]:
    if any(vpn.name == OURS for vpn in settings.peers):
        yield Measurement("paid", "on", OURS, run, partial(paid.measure, seconds=settings.seconds))


def _sessions(settings: Settings, run: int) -> Iterator[Measurement]:
    if any(vpn.name == OURS for vpn in settings.peers):
        measure = partial(sessions.measure, count=settings.sessions, seconds=2 * settings.seconds)
        yield Measurement("sessions", "on", OURS, run, measure)


def _gas(settings: Settings, run: int) -> Iterator[Measurement]:
    if any(vpn.name == OURS for vpn in settings.peers):
        yield Measurement("gas", "on", OURS, run, gas.measure)


def _network(settings: Settings, run: int) -> Iterator[Measurement]:
    if any(vpn.name == OURS for vpn in settings.engines):
        yield Measurement("network", "on", OURS, run, heartbeats.measure)
        yield Measurement("network", "on", OURS, run, visible.measure)


def _fullnodes(settings: Settings, run: int) -> Iterator[Measurement]:
    if any(vpn.name == OURS for vpn in settings.engines):
        yield Measurement("fullnodes", "on", OURS, run, fullnodes.measure)


def _api(settings: Settings, run: int) -> Iterator[Measurement]:
    if any(vpn.name == OURS for vpn in settings.engines):
        measure = partial(api.measure, seconds=settings.seconds)
        yield Measurement("api", "on", OURS, run, measure)


SECTIONS: dict[str, Callable[[Settings, int], Iterator[Measurement]]] = {
    "speed": _speed,
    "load": partial(_crowds, section="load"),
    "idle": partial(_crowds, section="idle"),
    "start": partial(_crowds, section="start"),
    "handshakes": partial(_crowds, section="handshakes"),
    "fairness": partial(_crowds, section="fairness"),
    "guards": _guards,
    "network": _network,
    "fullnodes": _fullnodes,
    "api": _api,
    "growth": _growth,
    "vouchers": _vouchers,
    "paid": _paid,
    "sessions": _sessions,
    "gas": _gas,
}
