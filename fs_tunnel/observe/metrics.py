# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Describe tunnels as metrics for Prometheus.

Public keys tell peers apart; no metric holds an address or a secret.  Names follow
https://prometheus.io/docs/practices/naming/.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from fs_tunnel import __version__
from fs_tunnel.linux.process import Usage
from fs_tunnel.observe.overview import STATES, Overview
from fs_wire import control

_NS_PER_S = 1_000_000_000
_TUNNEL, _PEER = ["tunnel"], ["tunnel", "public_key"]


Look = Callable[[], Sequence[Overview]]
UsageOf = Callable[[int], Usage | None]


def registry(look: Look, usage_of: UsageOf) -> CollectorRegistry:
    """Metrics that are read anew for each request; ``usage_of`` takes a process id."""
    made = CollectorRegistry()
    made.register(_Tunnels(look, usage_of))
    return made


class _Tunnels(Collector):
    def __init__(self, look: Look, usage_of: UsageOf) -> None:
        self._look, self._usage_of = look, usage_of

    def describe(self) -> Iterable[Metric]:
        return ()  # registration reads nothing

    def collect(self) -> Iterator[Metric]:
        tunnels = self._look()
        running = [(each.name, each.engine) for each in tunnels if each.engine is not None]
        yield InfoMetricFamily("fs_tunnel_build", "The program.", {"version": __version__})
        yield _states(tunnels)
        yield _drops(running)
        yield from _engines(running, self._usage_of)
        yield from _peers(running)


Running = Sequence[tuple[str, control.Message]]


def _states(tunnels: Sequence[Overview]) -> Metric:
    family = GaugeMetricFamily(
        "fs_tunnel_state",
        "1 for the state that a tunnel is in; a blocked one lets nothing out.",
        labels=["tunnel", "role", "state"],
    )
    for each in tunnels:
        for state in STATES[each.role]:
            family.add_metric([each.name, each.role, state], state == each.state)
    return family


def _drops(running: Running) -> Metric:
    family = CounterMetricFamily(
        "fs_tunnel_dropped_packets", "Packets that were refused.", labels=["tunnel", "reason"]
    )
    for name, engine in running:
        for reason, number in sorted(engine["drops"].items()):
            family.add_metric([name, reason], number)
    return family


def _engines(running: Running, usage_of: UsageOf) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "fs_tunnel_interface_up", "Whether the tunnel's interface is up.", labels=_TUNNEL
    )
    cpu = CounterMetricFamily(
        "fs_tunnel_engine_cpu_seconds", "CPU time of the tunnel's engine.", labels=_TUNNEL
    )
    memory = GaugeMetricFamily(
        "fs_tunnel_engine_resident_memory_bytes", "Memory of the tunnel's engine.", labels=_TUNNEL
    )
    started = GaugeMetricFamily(
        "fs_tunnel_engine_start_time_seconds", "When the engine started, Unix time.", labels=_TUNNEL
    )
    for name, engine in running:
        up.add_metric([name], engine["up"])
        usage = usage_of(engine["pid"])
        if usage is not None:
            cpu.add_metric([name], usage.cpu)
            memory.add_metric([name], usage.memory)
            started.add_metric([name], usage.started)
    yield from (up, cpu, memory, started)


def _peers(running: Running) -> Iterator[Metric]:
    counted = {
        counter: CounterMetricFamily(f"fs_tunnel_peer_{name}", what, labels=_PEER)
        for counter, name, what in (
            ("rx_bytes", "receive_bytes", "Bytes received from a peer, as on the wire."),
            ("tx_bytes", "transmit_bytes", "Bytes sent to a peer, as on the wire."),
            ("rx_packets", "receive_packets", "Packets received from a peer."),
            ("tx_packets", "transmit_packets", "Packets sent to a peer."),
        )
    }
    handshake = GaugeMetricFamily(
        "fs_tunnel_peer_last_handshake_seconds", "Unix time; 0 for never.", labels=_PEER
    )
    used = CounterMetricFamily(
        "fs_tunnel_peer_credit_used_bytes", "Transport both ways that counts.", labels=_PEER
    )
    credit = GaugeMetricFamily(
        "fs_tunnel_peer_credit_bytes", "What may be used in all; 0 is any.", labels=_PEER
    )
    rate = GaugeMetricFamily(
        "fs_tunnel_peer_rate_limit_bytes_per_second",
        "What a peer may send (receive) and is sent (transmit) at most; 0 is any.",
        labels=[*_PEER, "direction"],
    )
    for name, engine in running:
        for key, peer in engine["peers"].items():
            for counter, family in counted.items():
                family.add_metric([name, key], peer[counter])
            limits = peer["limits"]
            handshake.add_metric([name, key], peer["latest_handshake_ns"] / _NS_PER_S)
            used.add_metric([name, key], peer["credit_used"])
            credit.add_metric([name, key], limits["credit"])
            rate.add_metric([name, key, "receive"], limits["rx_rate"])
            rate.add_metric([name, key, "transmit"], limits["tx_rate"])
    yield from (*counted.values(), handshake, used, credit, rate)
