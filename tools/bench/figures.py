# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The figures: their names, units and meanings, and single readings of them."""

import statistics
from collections.abc import Generator, Iterable
from dataclasses import dataclass

GIB = 1 << 30

# Yields figures by name as they are measured; the set-up ends with the generator.
Sample = Generator[tuple[str, float], None, None]


@dataclass(frozen=True)
class Reading:
    """One measured value of one program. ``scene`` is the offload mode of the wire."""

    scene: str
    peer: str
    figure: str
    run: int
    value: float


@dataclass(frozen=True)
class Figure:
    """How a figure is shown, and what it means."""

    title: str
    unit: str
    digits: int
    meaning: str

    @property
    def head(self) -> str:
        return f"{self.title}, {self.unit}" if self.unit else self.title


FIGURES = {
    "there": Figure(
        "TCP there", "Mbit/s", 0, "one iperf3 stream from client to server, counted by the receiver"
    ),
    "back": Figure("back", "Mbit/s", 0, "one stream from server to client (`-R`)"),
    "four": Figure(
        "four streams", "Mbit/s", 0, "the sum of four streams at once, client to server"
    ),
    "small": Figure(
        "64 B UDP",
        "kpps",
        1,
        "the highest rate of 64-byte datagrams, one `sendto` each, with a loss below 1 %; a "
        "search over offered rates finds it",
    ),
    "small_batches": Figure(
        "in batches",
        "kpps",
        1,
        "the same rate with up to 64 datagrams for each `sendmmsg`, and with bursts: the sender "
        "sends late datagrams at once",
    ),
    "round_trip": Figure(
        "ping", "us", 0, "median round trip on an idle tunnel, with one ping each 5 ms"
    ),
    "round_trip_p99": Figure("p99", "us", 0, "the round trip that one ping in 100 exceeds"),
    "cpu": Figure(
        "tunnel CPU",
        "s/GiB",
        2,
        "user and system time of the programs at both ends, during the single TCP streams",
    ),
    "machine_cpu": Figure(
        "machine CPU", "s/GiB", 2, "all CPU time of the machine then, with kernel and iperf3"
    ),
    "memory_idle": Figure(
        "idle", "MiB", 1, "resident memory after the tunnel is up, of the larger end"
    ),
    "memory_loaded": Figure("at most", "MiB", 1, "the highest resident memory, also under load"),
    "others": Figure(
        "others",
        "%",
        1,
        "the share of all cores that other programs and the host took during the TCP streams",
    ),
    "load_seconds": Figure("load", "s", 3, "the time to give the engine its peers through UAPI"),
    "list_seconds": Figure("list", "s", 3, "the time to read all peers back"),
    "memory_many": Figure("memory", "MiB", 1, "resident memory with the peers"),
    "memory_each": Figure("each", "KiB", 2, "the memory that one peer added"),
    "alone": Figure("TCP alone", "Mbit/s", 0, "one stream to a provider from its only client"),
    "among_idle": Figure("among idle", "Mbit/s", 0, "the same stream with idle peers configured"),
    "idle_ratio": Figure("ratio", "", 3, "the rate among idle peers, divided by the rate alone"),
    "start": Figure("start", "ms", 0, "the time from the command to an engine that takes settings"),
    "first_packet": Figure(
        "first packet",
        "ms",
        1,
        "the time of a first datagram, handshake included, with both ends up",
    ),
    "start_to_packet": Figure(
        "both", "ms", 0, "the time from the command to the first packet, settings included"
    ),
    "handshakes": Figure(
        "handshakes",
        "1/s",
        0,
        "initiations of different peers that one engine on one core answers, 64 at a time",
    ),
    "vouchers_signed": Figure(
        "signed", "1/s", 0, "vouchers that one core signs and writes as messages"
    ),
    "vouchers_checked": Figure(
        "checked", "1/s", 0, "vouchers that one core reads and checks, signature and all"
    ),
    "unpaid": Figure(
        "unpaid", "Mbit/s", 0, "one stream through a provider to a client in its file"
    ),
    "paid": Figure(
        "paid", "Mbit/s", 0, "one stream through a provider to a client that pays for it"
    ),
    "paid_ratio": Figure("ratio", "", 3, "the paid rate, divided by the unpaid rate"),
    "sessions_held": Figure(
        "sessions",
        "",
        0,
        "clients of one agent, each with a voucher a second, all confirmed in time",
    ),
    "voucher_median": Figure("confirmed", "ms", 1, "median time from a voucher to its statement"),
    "voucher_p99": Figure("p99", "ms", 1, "the time that one voucher in 100 exceeds"),
    "agent_core": Figure("agent", "%", 1, "the share of one core that the agent took"),
    "gas_deposit": Figure("deposit", "gas", 0, "gas of a payer's deposit, from its receipt"),
    "gas_open": Figure("open", "gas", 0, "gas of opening a channel"),
    "gas_redeem": Figure("redeem first", "gas", 0, "gas of a payee's first voucher"),
    "gas_redeem_later": Figure("redeem later", "gas", 0, "gas of each later voucher"),
    "gas_close": Figure("close", "gas", 0, "gas for the payee to close with a voucher"),
    "gas_withdraw": Figure("withdraw", "gas", 0, "gas to withdraw what was paid"),
    "jain_there": Figure(
        "Jain there", "", 3, "Jain's index of the rates at which clients of one provider send"
    ),
    "jain_back": Figure("Jain back", "", 3, "Jain's index of the rates at which they receive"),
    "sum_there": Figure("sum there", "Mbit/s", 0, "the rate of all clients together, sending"),
    "sum_back": Figure("sum back", "Mbit/s", 0, "the rate of all clients together, receiving"),
    "sandbox_tcp": Figure(
        "sandbox, TCP", "", 3, "the rate of one stream, divided by the rate without a sandbox"
    ),
    "sandbox_small": Figure(
        "sandbox, 64 B UDP", "", 3, "the rate of small packets, divided by that without a sandbox"
    ),
    "switch_tcp": Figure(
        "kill switch, TCP", "", 3, "the rate of one stream, divided by that without the switch"
    ),
    "switch_small": Figure(
        "kill switch, 64 B UDP",
        "",
        3,
        "the rate of small packets, divided by that without the switch, on a host that does not "
        "track connections otherwise",
    ),
    "judged": Figure(
        "judged",
        "1/s",
        0,
        "heartbeats that one core checks (stake and signature) and adds to the index",
    ),
    "arrived": Figure(
        "carried",
        "1/s",
        0,
        "heartbeats from 60 peers that the network process carries in a second of its CPU time",
    ),
    "memory_peer": Figure(
        "memory", "KiB", 0, "the memory of the network process for each connected peer"
    ),
    "taken": Figure(
        "taken",
        "1/s",
        0,
        "heartbeats in gossip that one core checks, indexes and shows, with 10,000 providers",
    ),
    "ranked": Figure(
        "ranking", "ms", 0, "CPU time to rank 10,000 providers, once for each version"
    ),
    "memory_providers": Figure(
        "memory", "MiB", 0, "the memory for 10,000 providers with records, heartbeats and uptimes"
    ),
    "converged": Figure(
        "healed",
        "s",
        1,
        "the time in which a split network of three full nodes becomes one again: each half has "
        "1,000 of 2,000 records; a full node asks 15 questions a second",
    ),
    "api_rate": Figure(
        "API",
        "1/s",
        0,
        "requests for a filtered list of 50 out of 10,000 providers; 2,000 heartbeats a second",
    ),
    "api_p99": Figure(
        "p99", "ms", 1, "the time that one such request in 100 exceeds, 32 at a time"
    ),
    "page_rate": Figure("page", "1/s", 0, "requests for the same list as a web page"),
    "page_p99": Figure("p99", "ms", 1, "the time that one such request in 100 exceeds"),
    "anew_rate": Figure("searches", "1/s", 0, "API requests that all have different filters"),
    "anew_p99": Figure("p99", "ms", 0, "the time that one such request in 100 exceeds"),
    "visible_half": Figure(
        "seen by half",
        "s",
        2,
        "the time until 15 of 30 full nodes on one machine show a new provider",
    ),
    "visible": Figure(
        "by all", "s", 2, "the time until all 30 show it; the median of ten providers"
    ),
    "visible_worst": Figure("at worst", "s", 2, "the time of the slowest of ten providers"),
    "memory_node": Figure(
        "each node", "MiB", 0, "resident memory of the network process of one of 30 full nodes"
    ),
    "growth_minutes": Figure(
        "under load for", "min", 1, "the time under load: TCP in both directions in turns"
    ),
    "growth_before": Figure(
        "memory before", "MiB", 1, "resident memory of both ends after the first tenth"
    ),
    "growth": Figure("growth", "MiB", 2, "the growth of both ends until the end"),
}
# The figures of each table.
TABLES: dict[str, tuple[str, ...]] = {
    "Speed": (
        *("there", "back", "four", "small", "small_batches", "round_trip", "round_trip_p99"),
        *("cpu", "machine_cpu", "others"),
    ),
    "Memory": ("memory_idle", "memory_loaded"),
    "Many peers": ("load_seconds", "list_seconds", "memory_many", "memory_each"),
    "One client among idle peers": ("alone", "among_idle", "idle_ratio"),
    "Start": ("start", "first_packet", "start_to_packet"),
    "Handshakes": ("handshakes",),
    "Vouchers": ("vouchers_signed", "vouchers_checked"),
    "A paid tunnel": ("unpaid", "paid", "paid_ratio"),
    "Sessions of one provider": ("sessions_held", "voucher_median", "voucher_p99", "agent_core"),
    "Gas": (
        *("gas_deposit", "gas_open", "gas_redeem", "gas_redeem_later"),
        *("gas_close", "gas_withdraw"),
    ),
    "Many active clients": ("jain_there", "jain_back", "sum_there", "sum_back"),
    "Guards": ("sandbox_tcp", "sandbox_small", "switch_tcp", "switch_small"),
    "Heartbeats at a full node": ("judged", "arrived", "memory_peer"),
    "A full node with many providers": ("taken", "ranked", "memory_providers", "converged"),
    "API of a full node": (
        *("api_rate", "api_p99", "page_rate", "page_p99", "anew_rate", "anew_p99"),
    ),
    "A network of 30 full nodes": ("visible_half", "visible", "visible_worst", "memory_node"),
    "Memory over time": ("growth_minutes", "growth_before", "growth"),
}


def values(readings: Iterable[Reading], scene: str, peer: str, figure: str) -> list[float]:
    """Return a figure of all runs."""
    wanted = (scene, peer, figure)
    return [each.value for each in readings if (each.scene, each.peer, each.figure) == wanted]


def median(readings: Iterable[Reading], scene: str, peer: str, figure: str) -> float | None:
    """Return the median of a figure over the runs, or None if it was not measured."""
    found = values(readings, scene, peer, figure)
    return statistics.median(found) if found else None


def percentile(sample: Iterable[float], share: float) -> float:
    """Return the value that the share ``1 - share`` of a sample exceeds."""
    ordered = sorted(sample)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def jain(shares: Iterable[float]) -> float:
    """Return Jain's index: 1 if all have the same, 1/n if one has everything."""
    given = list(shares)
    squares = sum(each * each for each in given)
    return sum(given) ** 2 / (len(given) * squares) if squares else 0.0
