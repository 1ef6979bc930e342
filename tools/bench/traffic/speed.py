# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""One tunnel between two namespaces: TCP, small packets, round trips, CPU time and memory."""

import json
import re
import statistics
import subprocess
import time
from pathlib import Path

from tests.netns.topology import CommandFailed, Namespace
from tests.netns.waiting import wait_until
from tools.bench import machine
from tools.bench.figures import GIB, Sample, percentile
from tools.bench.peers import Vpn
from tools.bench.scenes import listens, wired
from tools.bench.traffic import small

IPERF_PORT = 5201
_PING_GAP = 0.005
_IPERF_PAUSE = 1.0


def measure(
    vpn: Vpn, folder: Path, *, offload: str, program: Path, seconds: float, pings: int
) -> Sample:
    """Measure one program in one run, in namespaces made for it."""
    with wired(offload) as net, vpn.up(net, folder) as tunnel:
        if tunnel.pids:
            yield "memory_idle", max(machine.memory_mib(pid, "VmRSS") for pid in tunnel.pids)
        times = ping(tunnel.alice, tunnel.address, pings)
        yield "round_trip", statistics.median(times)
        yield "round_trip_p99", percentile(times, 0.99)
        serve(tunnel.bob)
        pids = [*tunnel.pids, *tunnel.bob.pids()]
        cpu, busy = machine.cpu_seconds(tunnel.pids), machine.Busy.now(set(pids))
        there, sent = tcp(tunnel.alice, tunnel.address, seconds)
        back, received = tcp(tunnel.alice, tunnel.address, seconds, "-R")
        gib = (sent + received) / GIB
        cpu, busy = machine.cpu_seconds(tunnel.pids) - cpu, machine.Busy.now(set(pids)) - busy
        yield "there", there
        yield "back", back
        if tunnel.pids:
            yield "cpu", cpu / gib
        yield "machine_cpu", busy.busy / gib
        yield "others", busy.others_percent
        yield "four", tcp(tunnel.alice, tunnel.address, seconds, "-P", "4")[0]
        trial = min(1.0, seconds / 4)
        yield "small", small.measure(tunnel, program, trial, "paced")
        yield "small_batches", small.measure(tunnel, program, trial, "batches")
        if tunnel.pids:
            yield "memory_loaded", max(machine.memory_mib(pid, "VmHWM") for pid in tunnel.pids)


def serve(namespace: Namespace) -> None:
    """Start iperf3's server; it ends with the namespace."""
    namespace.start("iperf3", "-s", "-p", str(IPERF_PORT), stderr=subprocess.DEVNULL)
    wait_until(lambda: listens(namespace, IPERF_PORT), what="iperf3 listens")


def tcp(client: Namespace, server: str, seconds: float, *options: str) -> tuple[float, int]:
    """Return the Mbit/s that the receiver saw, and the bytes received."""
    arguments = ["-c", server, "-p", str(IPERF_PORT), "-t", f"{seconds:g}", *options]
    try:
        return parse_iperf(client.run("iperf3", "-J", *arguments, seconds=seconds + 60))
    except (CommandFailed, ValueError):
        # Sometimes the server has not finished the test before. A second failure is no coincidence.
        time.sleep(_IPERF_PAUSE)
        return parse_iperf(client.run("iperf3", "-J", *arguments, seconds=seconds + 60))


def ping(client: Namespace, address: str, count: int) -> list[float]:
    """Return round trips in microseconds; AssertionError if over 1 % got no answer."""
    said = client.run(
        *("ping", "-n", "-c", str(count), "-i", str(_PING_GAP), "-W", "1", address),
        seconds=count * _PING_GAP * 4 + 30,
    )
    times = parse_ping(said)
    if len(times) < 0.99 * count:
        raise AssertionError(f"{count - len(times)} of {count} pings to {address} got no answer")
    return times


def parse_iperf(said: str) -> tuple[float, int]:
    """Return the receiver's Mbit/s and bytes; ValueError quotes iperf3 if there are none."""
    found = json.loads(said)
    received = found["end"].get("sum_received")
    if received is None:
        raise ValueError(f"iperf3 measured nothing: {found.get('error', 'no reason given')}")
    return received["bits_per_second"] / 1e6, int(received["bytes"])


def parse_ping(said: str) -> list[float]:
    """Return the times in ping's lines, in microseconds."""
    return [float(each) * 1000 for each in re.findall(r"time=([\d.]+) ms", said)]
