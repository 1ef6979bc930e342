# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Small packets: the highest rate of 64-byte datagrams that a tunnel carries with little loss."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.netns.topology import run
from tools.bench.peers import Tunnel

SOURCE = Path(__file__).with_name("udp_blast.c")
BYTES = 64
ALLOWED_LOSS = 0.01
_FIRST_RATE = 8000.0
_LAST_RATE = 4e6
_FINENESS = 1.05  # the search ends when two rates are this close
Sender = Literal["paced", "batches"]  # see udp_blast.c
_KEEPS_UP = 0.7  # the share of the offered rate below which the sender is at its own limit


@dataclass(frozen=True)
class Trial:
    """The datagrams that were sent, in how many seconds, and how many arrived."""

    sent: int
    received: int
    seconds: float

    @property
    def is_clean(self) -> bool:
        return self.sent > 0 and self.received >= (1 - ALLOWED_LOSS) * self.sent


def build(folder: Path) -> Path:
    """Compile the sender and receiver."""
    program = folder / "udp_blast"
    run("cc", "-std=c11", "-O2", "-o", str(program), str(SOURCE))
    return program


def highest_clean_rate(trial: Callable[[float], Trial]) -> float:
    """Return packets a second that arrive: double the offered rate until too many are lost.

    Then halve the gap again and again. A rate has two chances, because the machine is shared.
    """
    best = 0.0

    def carries(rate: float) -> tuple[bool, bool]:
        nonlocal best
        for _ in range(2):
            seen = trial(rate)
            if seen.is_clean:
                best = max(best, seen.received / seen.seconds)
                return True, seen.sent >= _KEEPS_UP * rate * seen.seconds
        return False, True

    low, high = 0.0, _FIRST_RATE
    while high <= _LAST_RATE:
        clean, keeps_up = carries(high)
        if not clean:
            break
        if not keeps_up:
            return best
        low, high = high, high * 2
    if not low:
        low = high / 64  # a lower rate is not worth a search
    while high / low > _FINENESS:
        middle = (low * high) ** 0.5
        clean, _ = carries(middle)
        low, high = (middle, high) if clean else (low, middle)
    return best


def measure(tunnel: Tunnel, program: Path, seconds: float, sender: Sender) -> float:
    """Return thousands of packets a second from alice to bob."""
    return highest_clean_rate(lambda rate: _blast(tunnel, program, rate, seconds, sender)) / 1000


def _blast(tunnel: Tunnel, program: Path, rate: float, seconds: float, sender: Sender) -> Trial:
    receiver = tunnel.bob.start(
        str(program), "count", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    if receiver.stdin is None or receiver.stdout is None:
        raise AssertionError("both are pipes")
    port = receiver.stdout.readline().decode().strip()
    said = tunnel.alice.run(
        *(str(program), sender, tunnel.address, port, str(BYTES), f"{rate:.0f}", f"{seconds}")
    )
    receiver.stdin.close()  # everything was sent
    received = int(receiver.stdout.readline())
    receiver.wait()
    receiver.stdout.close()
    sent, took = said.split()
    return Trial(int(sent), received, float(took))
