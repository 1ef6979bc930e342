# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The machine that was measured on, and other programs that used its cores."""

import contextlib
import os
import platform
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fs_tunnel.engine import pumps
from tests.netns.topology import CommandFailed, run

TICKS = os.sysconf("SC_CLK_TCK")


def describe() -> dict[str, str]:
    """Return processor, system and versions."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "processor": model[1] if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{int(memory[1]) / 1024 / 1024:.1f} GiB" if memory else "unknown",
        "system": f"{_distribution()}, Linux {platform.release()}",
        "python": platform.python_version(),
        "flowshield": pumps.BUILD,
        "wireguard-go": _first_line("wireguard-go", "--version"),
        "openvpn": _first_line("openvpn", "--version"),
        "nebula": _first_line("nebula", "-version"),
        "load before": f"{os.getloadavg()[0]:.2f} (1 minute; quiet is below 0.3)",
        "network": "two namespaces, veth with MTU 1500; tunnel MTU 1420",
    }


def memory_mib(pid: int, key: str) -> float:
    """Return VmRSS or VmHWM of a process, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{key}:\s+(\d+) kB$", status, re.MULTILINE)
    if found is None:
        raise ValueError(f"the kernel does not report {key}; check that /proc is mounted")
    return int(found[1]) / 1024


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return user and system time of processes so far, with all their threads."""
    return sum(sum(_times(pid)) for pid in pids)


@dataclass(frozen=True)
class Busy:
    """What the cores did up to a moment, in seconds; a difference is what they did since then."""

    wall: float
    busy: float
    user: float
    stolen: float
    user_of_ours: float

    @classmethod
    def now(cls, pids: Iterable[int]) -> Self:
        """Read the counters; ``pids`` are our processes except this one.

        Child processes count once they have ended.
        """
        first = Path("/proc/stat").read_text().partition("\n")[0].split()
        user, nice, system, _, _, irq, softirq, stolen = (int(each) / TICKS for each in first[1:9])
        own = os.times()
        return cls(
            wall=time.monotonic(),
            busy=user + nice + system + irq + softirq,
            user=user + nice,
            stolen=stolen,
            user_of_ours=own.user + own.children_user + sum(_times(pid)[0] for pid in pids),
        )

    def __sub__(self, earlier: "Busy") -> "Busy":
        return Busy(
            self.wall - earlier.wall,
            self.busy - earlier.busy,
            self.user - earlier.user,
            self.stolen - earlier.stolen,
            self.user_of_ours - earlier.user_of_ours,
        )

    @property
    def others_percent(self) -> float:
        """The share of all cores that went to the host and to programs that are not ours."""
        taken = self.stolen + max(0.0, self.user - self.user_of_ours)
        return 100 * taken / (self.wall * (os.cpu_count() or 1))


def _times(pid: int) -> tuple[float, float]:
    """Return user and system time (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def _distribution() -> str:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    return "an unknown distribution"


def _first_line(*argv: str) -> str:
    try:
        return run(*argv).partition("\n")[0]
    except CommandFailed as error:
        return f"unknown ({error})"
    except OSError:
        return "not installed"
