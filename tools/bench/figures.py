"""What is measured: the names, units and meanings of figures, and single readings of them."""

import statistics
from collections.abc import Generator, Iterable
from dataclasses import dataclass

GIB = 1 << 30

# Figures by name, as they are measured. What was set up ends with the generator.
Sample = Generator[tuple[str, float], None, None]


@dataclass(frozen=True)
class Reading:
    """One figure of one program, once. ``scene`` is the offload mode of the wire."""

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
    "there": Figure("TCP there", "Mbit/s", 0, "one stream of iperf3, as its receiver counts"),
    "back": Figure("back", "Mbit/s", 0, "one stream the other way (`-R`)"),
    "four": Figure("four streams", "Mbit/s", 0, "four at once, there, in sum"),
    "small": Figure(
        "64 B UDP",
        "kpps",
        1,
        "the highest rate of datagrams of 64 bytes, one `sendto` each, that arrives with a loss "
        "below 1 %; found by a search over offered rates",
    ),
    "small_batches": Figure(
        "in batches",
        "kpps",
        1,
        "the same with up to 64 datagrams for each `sendmmsg`, and with bursts: the sender makes "
        "up for what is late",
    ),
    "round_trip": Figure("ping", "us", 0, "median round trip on an idle tunnel, one each 5 ms"),
    "round_trip_p99": Figure("p99", "us", 0, "the round trip that one ping in 100 exceeds"),
    "cpu": Figure(
        "tunnel CPU",
        "s/GiB",
        2,
        "user and system time of the programs at both ends, during the single TCP streams",
    ),
    "machine_cpu": Figure(
        "machine CPU", "s/GiB", 2, "all that was not idle meanwhile: kernel and iperf3 too"
    ),
    "memory_idle": Figure("idle", "MiB", 1, "resident memory once the tunnel is up, larger end"),
    "memory_loaded": Figure("at most", "MiB", 1, "the most it ever was, load included"),
    "others": Figure(
        "others",
        "%",
        1,
        "share of all cores that other programs and the host took during the TCP streams",
    ),
    "load_seconds": Figure("load", "s", 3, "to give the engine its peers, through UAPI"),
    "list_seconds": Figure("list", "s", 3, "to read them all back"),
    "memory_many": Figure("memory", "MiB", 1, "resident with the peers"),
    "memory_each": Figure("each", "KiB", 2, "what one peer added"),
    "alone": Figure("TCP alone", "Mbit/s", 0, "the only client of a provider, one stream to it"),
    "among_idle": Figure("among idle", "Mbit/s", 0, "the same with idle peers configured"),
    "idle_ratio": Figure("ratio", "", 3, "the second to the first"),
    "start": Figure("start", "ms", 0, "from the command to an engine that takes settings"),
    "first_packet": Figure(
        "first packet", "ms", 1, "both ends are up: a datagram is sent, the handshake, it arrives"
    ),
    "start_to_packet": Figure(
        "both", "ms", 0, "from the command to the first packet through, settings included"
    ),
    "handshakes": Figure(
        "handshakes",
        "1/s",
        0,
        "initiations of distinct peers that one engine on one core answers, 64 under way at a time",
    ),
    "vouchers_signed": Figure(
        "signed", "1/s", 0, "vouchers that one core signs and writes as messages"
    ),
    "vouchers_checked": Figure(
        "checked", "1/s", 0, "vouchers that one core reads and checks, signature and all"
    ),
    "unpaid": Figure(
        "unpaid", "Mbit/s", 0, "one stream from beyond a provider, to a client of its file"
    ),
    "paid": Figure("paid", "Mbit/s", 0, "the same, to a client who pays while bytes flow"),
    "paid_ratio": Figure("ratio", "", 3, "the second to the first"),
    "sessions_held": Figure(
        "sessions", "", 0, "clients of one agent whose vouchers, one a second, were all in time"
    ),
    "voucher_median": Figure("confirmed", "ms", 1, "from a voucher to its statement, median"),
    "voucher_p99": Figure("p99", "ms", 1, "what one voucher in 100 exceeds"),
    "agent_core": Figure("agent", "%", 1, "of one core that the agent took"),
    "gas_deposit": Figure("deposit", "gas", 0, "gas of a payer's deposit, as its receipt has it"),
    "gas_open": Figure("open", "gas", 0, "gas of opening a channel"),
    "gas_redeem": Figure("redeem first", "gas", 0, "gas of a payee's first voucher"),
    "gas_redeem_later": Figure("redeem later", "gas", 0, "gas of each that follows"),
    "gas_close": Figure("close", "gas", 0, "gas of the payee's closing with a voucher"),
    "gas_withdraw": Figure("withdraw", "gas", 0, "gas of fetching what was paid"),
    "jain_there": Figure(
        "Jain there", "", 3, "Jain's index of what the clients of one provider got, sending to it"
    ),
    "jain_back": Figure("Jain back", "", 3, "the same, receiving from it"),
    "sum_there": Figure("sum there", "Mbit/s", 0, "what all clients got together"),
    "sum_back": Figure("sum back", "Mbit/s", 0, "the same, receiving"),
    "sandbox_tcp": Figure("sandbox, TCP", "", 3, "one stream, to the same without a sandbox"),
    "sandbox_small": Figure(
        "sandbox, 64 B UDP", "", 3, "the rate of small packets, to the same without a sandbox"
    ),
    "switch_tcp": Figure("kill switch, TCP", "", 3, "one stream, to the same without the switch"),
    "switch_small": Figure(
        "kill switch, 64 B UDP",
        "",
        3,
        "the rate of small packets, to the same without the switch, on a host that tracks no "
        "connections otherwise",
    ),
    "judged": Figure(
        "judged",
        "1/s",
        0,
        "heartbeats that one core believes: stake and signature checked, indexed",
    ),
    "arrived": Figure(
        "carried",
        "1/s",
        0,
        "heartbeats from 60 peers that the network process carries in a second of its CPU",
    ),
    "memory_peer": Figure("memory", "KiB", 0, "what a connected peer costs the network process"),
    "taken": Figure(
        "taken",
        "1/s",
        0,
        "heartbeats out of gossip that one core believes, indexes and shows, of 10,000 providers",
    ),
    "ranked": Figure("ranking", "ms", 0, "CPU for a ranking of 10,000 providers, once a version"),
    "memory_providers": Figure(
        "memory", "MiB", 0, "what 10,000 providers cost, with records, heartbeats and uptimes"
    ),
    "converged": Figure(
        "healed",
        "s",
        1,
        "from the connection of two halves of three full nodes until each has all 2,000 records, "
        "of which either half had 1,000; a second of asking has 15 questions",
    ),
    "api_rate": Figure(
        "API",
        "1/s",
        0,
        "a filtered page of 50 of 10,000 providers, of which 2,000 are heard a second",
    ),
    "api_p99": Figure("p99", "ms", 1, "what one such request in 100 exceeds, of 32 at a time"),
    "page_rate": Figure("page", "1/s", 0, "the same as a page for people"),
    "page_p99": Figure("p99", "ms", 1, "what one such request in 100 exceeds"),
    "anew_rate": Figure("searches", "1/s", 0, "where each request has a filter of its own"),
    "anew_p99": Figure("p99", "ms", 0, "what one such request in 100 exceeds"),
    "visible_half": Figure(
        "seen by half",
        "s",
        2,
        "until 15 of 30 full nodes on one machine show a provider that they never heard of",
    ),
    "visible": Figure("by all", "s", 2, "until all 30 do, the median of ten providers"),
    "visible_worst": Figure("at worst", "s", 2, "the provider that took longest"),
    "memory_node": Figure("each node", "MiB", 0, "resident, of the network process of one of 30"),
    "growth_minutes": Figure("under load for", "min", 1, "TCP in both directions in turns"),
    "growth_before": Figure("memory before", "MiB", 1, "resident after the first tenth, both ends"),
    "growth": Figure("growth", "MiB", 2, "by how much both ends are larger at the end"),
}
# What stands together in a table.
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
    """A figure in all runs."""
    wanted = (scene, peer, figure)
    return [each.value for each in readings if (each.scene, each.peer, each.figure) == wanted]


def median(readings: Iterable[Reading], scene: str, peer: str, figure: str) -> float | None:
    """A figure's median over the runs; None if it was not measured."""
    found = values(readings, scene, peer, figure)
    return statistics.median(found) if found else None


def percentile(sample: Iterable[float], share: float) -> float:
    """The value that ``1 - share`` of a sample exceeds."""
    ordered = sorted(sample)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def jain(shares: Iterable[float]) -> float:
    """Jain's index: 1 where all have the same, 1/n where one has all."""
    given = list(shares)
    squares = sum(each * each for each in given)
    return sum(given) ** 2 / (len(given) * squares) if squares else 0.0
