# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Read what a process uses, from proc(5), and raise the limit of open files."""

import os
import resource
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class Usage(NamedTuple):
    """Seconds of CPU, bytes of memory in RAM, and the time of start, in Unix time."""

    cpu: float
    memory: int
    started: float


def usage_of(pid: int) -> Usage | None:
    """The usage of a process; None if it has ended."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
        boot = (_PROC / "stat").read_text()
    except OSError:
        return None
    # The name, in parentheses, may hold anything.
    fields = stat.rpartition(")")[2].split()
    tick = os.sysconf("SC_CLK_TCK")
    user, system, started, pages = (int(fields[number - 3]) for number in (14, 15, 22, 24))
    booted = int(boot.partition("\nbtime ")[2].split()[0])
    return Usage(
        (user + system) / tick, pages * os.sysconf("SC_PAGE_SIZE"), booted + started / tick
    )


def allow_files(most: int) -> None:
    """Let this process and its children open so many files, or as many as the host allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
