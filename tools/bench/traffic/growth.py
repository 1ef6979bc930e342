# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Whether an engine grows while it carries traffic for long."""

import time
from pathlib import Path

from tools.bench import machine
from tools.bench.figures import Sample
from tools.bench.peers import Tunnel, Vpn
from tools.bench.scenes import wired
from tools.bench.traffic import speed

_PARTS = 10


def measure(vpn: Vpn, folder: Path, *, minutes: float) -> Sample:
    """Run TCP in both directions in turns; read the memory after the first part and the last."""
    with wired("on") as net, vpn.up(net, folder) as tunnel:
        speed.serve(tunnel.bob)
        began = time.monotonic()
        seconds = max(1, round(minutes * 60 / _PARTS))
        sizes = []
        for part in range(_PARTS):
            options = ["-R"] if part % 2 else []
            speed.tcp(tunnel.alice, tunnel.address, seconds, *options)
            sizes.append(_resident(tunnel))
        yield "growth_minutes", (time.monotonic() - began) / 60
        yield "growth_before", sizes[0]
        yield "growth", sizes[-1] - sizes[0]


def _resident(tunnel: Tunnel) -> float:
    return sum(machine.memory_mib(pid, "VmRSS") for pid in tunnel.pids)
