# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Choose the packet path: the native one if it was built, or else the one in Python."""

import os
from collections.abc import Callable

from fs_tunnel.engine.pump import Pump, PythonPump
from fs_tunnel.linux.routing.tun import Tun
from fs_wire.errors import UsageError

try:
    from fs_tunnel.dataplane.native import AEAD
    from fs_tunnel.engine.native_pump import NativePump
except ImportError:  # it was not built: no compiler, or no library to seal with
    BUILD = "packet path: Python"
    HAS_NATIVE = False
else:
    BUILD = f"packet path: native ({AEAD})"
    HAS_NATIVE = True

MAX_THREADS = 32


def threads_from_environment() -> int:
    """The number of threads of the native path; 0 is the path in Python.

    FS_WG_DATAPLANE is native or python, and FS_WG_THREADS a number.  UsageError for anything else,
    and if FS_WG_DATAPLANE is native but that path was not built.
    """
    form = os.environ.get("FS_WG_DATAPLANE", "native" if HAS_NATIVE else "python")
    if form == "python":
        return 0
    if form != "native":
        raise UsageError("FS_WG_DATAPLANE is native or python; unset it")
    if not HAS_NATIVE:
        raise UsageError("the native packet path was not built; unset FS_WG_DATAPLANE")
    wanted = os.environ.get("FS_WG_THREADS")
    if wanted is None:
        # The kernel and the programs that send and receive need the other half of the cores.
        return min(max(1, len(os.sched_getaffinity(0)) // 2), MAX_THREADS)
    if not wanted.isdecimal() or not 1 <= int(wanted) <= MAX_THREADS:
        raise UsageError(f"FS_WG_THREADS is a number from 1 to {MAX_THREADS}; unset it")
    return int(wanted)


def make_pump(tun: Tun, threads: int, now: Callable[[], float], clock_scale: float) -> Pump:
    """The pump of a TUN that was opened with ``threads`` queues."""
    return NativePump(tun, clock_scale) if threads else PythonPump(tun, now)
