"""``make bench``: what the engine costs, and how fast it is beside Debian's wireguard-go.

Memory and time with many configured peers, loaded through UAPI as ``wg setconf`` would. Then
speed, between two namespaces joined by a veth: TCP with one stream each way, the round trip of a
ping on an idle tunnel, and the CPU time of both engines per GiB carried. The engines take turns,
and medians are shown: compare within one run of this program only.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from types import FrameType

from fs_tunnel import uapi
from fs_tunnel.types import Endpoint, PublicKey
from tests.netns.peers import FS, WIREGUARD_GO, Engine, Peer, introduce, running
from tests.netns.topology import CommandFailed, Namespace, Pair, Topology, pair, run
from tests.netns.waiting import wait_until
from tools.terminal import table

PEERS = (1000, 10_000)
# The variable, which it sets for its daemon, spares us its advice to use the kernel instead.
QUIET_WIREGUARD_GO = replace(WIREGUARD_GO, env={"WG_PROCESS_FOREGROUND": "1"})
ENGINES = (FS, QUIET_WIREGUARD_GO)
DEFAULT_REPORT = Path("build/bench.json")
IPERF_PORT = 5201
_PINGS = 200
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GIB = 1 << 30
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Load:
    """One engine with many peers. Times in seconds, memory in MiB."""

    engine: str
    peers: int
    set_seconds: float
    get_seconds: float
    memory_before: float
    memory_peak: float


@dataclass(frozen=True)
class Speed:
    """One engine at both ends, one run. Rates in Mbit/s, the median round trip in microseconds."""

    engine: str
    run: int
    there: float
    back: float
    round_trip: float
    cpu_seconds_per_gib: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write the JSON: 0, or 1 on a failure, 4 without root."""
    options = _parse(argv)
    if os.geteuid() != 0:
        print("bench: error: network namespaces need root; run: sudo make bench", file=sys.stderr)
        return 4
    for number in _ENDINGS:
        signal.signal(number, _interrupt)
    machine = describe_machine()
    for what, value in machine.items():
        print(f"{what}: {value}")
    try:
        loads = [measure_load(engine, count) for count in options.peers for engine in ENGINES]
        print(f"\n{show_loads(loads)}\n", flush=True)
        speeds = list(_measure_speeds(options.runs, options.seconds))
        print(f"\n{show_speeds(speeds)}")
    except KeyboardInterrupt:
        print("\nbench: interrupted", file=sys.stderr)
        return 130
    except (AssertionError, OSError, ValueError) as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 1
    report = {
        "machine": machine,
        "loads": [asdict(each) for each in loads],
        "speeds": [asdict(each) for each in speeds],
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten: {options.json}")
    return 0


# Many peers.


def measure_load(engine: Engine, peers: int) -> Load:
    """Configure ``peers`` peers, each with a v4 and a v6 network and an endpoint."""
    update = uapi.DeviceUpdate(peers=tuple(map(_peer, range(peers))))
    with (
        Topology() as topology,
        running(engine, topology.namespace("many"), ("10.66.0.1/16", "fd66::1/64")) as server,
    ):
        client = uapi.UapiClient(server.ifname)
        before = _memory(server, "VmRSS")
        started = time.monotonic()
        client.set(update)
        loaded = time.monotonic()
        shown = len(client.get().peers)
        listed = time.monotonic()
        if shown != peers:
            raise ValueError(f"{engine.name} has {shown} peers after {peers} were set")
        return Load(
            engine=engine.name,
            peers=peers,
            set_seconds=loaded - started,
            get_seconds=listed - loaded,
            memory_before=before,
            memory_peak=_memory(server, "VmHWM"),
        )


def show_loads(loads: Sequence[Load]) -> str:
    """A table of the engines with many peers."""
    return table(
        ("engine", "peers", "load, s", "list, s", "memory before, MiB", "peak, MiB"),
        [
            (
                each.engine,
                f"{each.peers}",
                f"{each.set_seconds:.3f}",
                f"{each.get_seconds:.3f}",
                f"{each.memory_before:.1f}",
                f"{each.memory_peak:.1f}",
            )
            for each in loads
        ],
    )


def _peer(number: int) -> uapi.PeerUpdate:
    high, low = divmod(number + 2, 256)
    networks = (f"10.66.{high}.{low}/32", f"fd66::{high:x}:{low:x}/128")
    return uapi.PeerUpdate(
        PublicKey(os.urandom(32)),
        endpoint=Endpoint("192.0.2.1", 1024 + number % 60000),
        replace_allowed_ips=True,
        allowed_ips=tuple(uapi.AllowedIPChange(ip_network(each)) for each in networks),
    )


def _memory(peer: Peer, key: str) -> float:
    status = Path(f"/proc/{_pid(peer)}/status").read_text()
    found = re.search(rf"^{key}:\s+(\d+) kB$", status, re.MULTILINE)
    if found is None:
        raise ValueError(f"the kernel does not tell {key}; is /proc mounted?")
    return int(found[1]) / 1024


# Speed.


def _measure_speeds(runs: int, seconds: int) -> Iterator[Speed]:
    for number in range(1, runs + 1):
        for engine in ENGINES:
            measured = measure_speed(engine, number, seconds)
            print(
                f"run {number} of {runs}, {engine.name}: {measured.there:.0f} and "
                f"{measured.back:.0f} Mbit/s, {measured.round_trip:.0f} us",
                flush=True,
            )
            yield measured


def measure_speed(engine: Engine, number: int, seconds: int) -> Speed:
    """One run of one engine, in namespaces made for it."""
    with pair() as net, _tunnel(engine, net) as (alice, bob):
        # It tells of its end, which is ours to bring about.
        bob.namespace.start("iperf3", "-s", "-p", str(IPERF_PORT), stderr=subprocess.DEVNULL)
        wait_until(lambda: _listens(bob.namespace, IPERF_PORT), what="iperf3 listens")
        round_trip = _round_trip(alice, bob.v4)
        cpu = _cpu_seconds(alice, bob)
        there, sent = _tcp(alice.namespace, bob.v4, seconds)
        back, received = _tcp(alice.namespace, bob.v4, seconds, "-R")
        cpu = _cpu_seconds(alice, bob) - cpu
        return Speed(
            engine=engine.name,
            run=number,
            there=there,
            back=back,
            round_trip=round_trip,
            cpu_seconds_per_gib=cpu / ((sent + received) / _GIB),
        )


def show_speeds(speeds: Sequence[Speed]) -> str:
    """A table of medians, with the extremes behind them."""
    rows = []
    for name in dict.fromkeys(each.engine for each in speeds):
        runs = [each for each in speeds if each.engine == name]
        rows.append(
            (
                name,
                f"{len(runs)}",
                _spread([each.there for each in runs], 0),
                _spread([each.back for each in runs], 0),
                _spread([each.round_trip for each in runs], 0),
                _spread([each.cpu_seconds_per_gib for each in runs], 1),
            )
        )
    heads = ("engine", "runs", "TCP there, Mbit/s", "back, Mbit/s", "ping, us", "CPU s/GiB")
    return table(heads, rows)


@contextlib.contextmanager
def _tunnel(engine: Engine, net: Pair) -> Iterator[tuple[Peer, Peer]]:
    with (
        running(engine, net.alice, ("10.66.0.1/24",)) as alice,
        running(engine, net.bob, ("10.66.0.2/24",)) as bob,
    ):
        introduce(alice, bob, (net.alice_v4, 51820), (net.bob_v4, 51820))
        alice.ping(bob.v4)
        yield alice, bob


def _tcp(client: Namespace, server: str, seconds: int, *options: str) -> tuple[float, float]:
    """Mbit/s as the receiver saw them, and the bytes received."""
    said = client.run(
        *("iperf3", "-J", "-c", server, "-p", str(IPERF_PORT), "-t", str(seconds), *options)
    )
    received = json.loads(said)["end"]["sum_received"]
    return received["bits_per_second"] / 1e6, received["bytes"]


def _round_trip(peer: Peer, address: str) -> float:
    said = peer.namespace.run("ping", "-n", "-c", str(_PINGS), "-i", "0.005", "-w", "20", address)
    times = [float(each) for each in re.findall(r"time=([\d.]+) ms", said)]
    return statistics.median(times) * 1000


def _cpu_seconds(*peers: Peer) -> float:
    """User and system time of the engines so far; proc(5), fields 14 and 15."""
    total = 0
    for peer in peers:
        fields = Path(f"/proc/{_pid(peer)}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def _listens(namespace: Namespace, port: int) -> bool:
    with namespace.entered():
        sockets = Path("/proc/thread-self/net/tcp6").read_text()
        sockets += Path("/proc/thread-self/net/tcp").read_text()
    return f":{port:04X} " in sockets


def _pid(peer: Peer) -> int:
    if peer.process is None:
        raise ValueError(f"{peer.ifname} has no process of ours")
    return peer.process.pid


def _spread(values: Sequence[float], digits: int) -> str:
    median = f"{statistics.median(values):.{digits}f}"
    if len(values) == 1:
        return median
    return f"{median} ({min(values):.{digits}f} to {max(values):.{digits}f})"


# The machine, and the command line.


def describe_machine() -> dict[str, str]:
    """What a number needs beside it to mean something."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "processor": model[1] if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{int(memory[1]) / 1024 / 1024:.1f} GiB" if memory else "unknown",
        "system": f"{_distribution()}, Linux {platform.release()}",
        "python": platform.python_version(),
        "wireguard-go": _first_line("wireguard-go", "--version"),
        "load before": f"{os.getloadavg()[0]:.2f} (1 minute; quiet is below 0.3)",
        "network": "veth with its offloads on, MTU 1500; tunnel MTU 1420",
    }


def _distribution() -> str:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    return "an unknown distribution"


def _first_line(*argv: str) -> str:
    try:
        return run(*argv).partition("\n")[0]
    except (CommandFailed, OSError) as error:
        return f"unknown ({error})"


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure the engine.")
    parser.add_argument("--quick", action="store_true", help="one short run of each")
    parser.add_argument("--runs", type=int, default=3, help="of each engine (3)")
    parser.add_argument("--seconds", type=int, default=6, help="of each transfer (6)")
    parser.add_argument(
        "--peers", type=int, nargs="+", default=PEERS, help="how many are configured (1000 10000)"
    )
    parser.add_argument("--json", type=Path, default=DEFAULT_REPORT, help=f"({DEFAULT_REPORT})")
    options = parser.parse_args(argv)
    if options.quick:
        options.runs, options.seconds = 1, 2
    return options


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # From here on everything is removed, which a second Ctrl-C must not break.
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
