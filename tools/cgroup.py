# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A control group of our own, below which others are made; all of them end together."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NoCgroup(Exception):
    """This machine has no tree of control groups; the text says what to do."""


@contextmanager
def cgroup(name: str) -> Iterator[Path]:
    """Make a group of cgroup2; at the end remove it with all below it. Nobody may be in them then.

    Raises NoCgroup if cgroup2 is not mounted.
    """
    mounts = [line.split(" ") for line in Path("/proc/self/mounts").read_text().splitlines()]
    places = [Path(place) for _, place, kind, *_ in mounts if kind == "cgroup2"]
    if not places:
        raise NoCgroup("cgroup2 is not mounted; run: mount -t cgroup2 none /sys/fs/cgroup")
    made = places[0] / f"{name}-{os.getpid()}"
    made.mkdir()
    try:
        yield made
    finally:
        for folder, _, _ in os.walk(made, topdown=False):
            Path(folder).rmdir()
