# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Confine an engine once it has its TUN and its sockets: it gives up nearly all of root's powers.

The engine does so while it has one thread.  Capabilities and Landlock belong to a thread, and
threads that it starts inherit them.  Afterwards the engine can change no file, start no program
and look into no other process.  Of root's powers it keeps CAP_NET_ADMIN, which it needs for the
marks of its sockets.  If the kernel or the host lacks a part, the log says so.
"""

import contextlib
import ctypes
import logging
import os
import resource
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from fs_tunnel.linux.confinement import capabilities, landlock, seccomp
from fs_wire import late_imports, libc

log = logging.getLogger(__name__)

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_SYSTEM = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo")
_FILES = ("/etc/localtime", "/etc/ld.so.cache", "/dev/null", "/dev/urandom")


class Sandbox(NamedTuple):
    """The parts in force: ``landlock`` is the version of the kernel's interface, 0 for none."""

    capabilities: tuple[str, ...]
    landlock: int
    seccomp: bool
    memory_locked: bool


def confine(sockets: Iterable[Path], *, low_ports: bool, nice: int) -> Sandbox:
    """Confine this process, which may remove ``sockets`` at its end.

    ``low_ports``: keep CAP_NET_BIND_SERVICE.  Threads may go down to niceness ``nice``.  OSError
    if the kernel has a part and refuses it.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _allow_niceness(nice)
    is_locked = _lock_memory()
    # Root itself may need a capability to enter the folders, and those of the program.
    late_imports.load()
    rules = landlock.prepare(_readable(), {path.parent for path in sockets})
    kept = {"CAP_NET_ADMIN": capabilities.NET_ADMIN}
    if low_ports:
        kept["CAP_NET_BIND_SERVICE"] = capabilities.NET_BIND_SERVICE
    capabilities.keep_only(kept.values())
    libc.prctl(libc.PR_SET_DUMPABLE, 0)
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    landlock.restrict(rules)
    made = Sandbox(tuple(sorted(kept)), rules.version, seccomp.restrict(), is_locked)
    if not made.landlock or not made.seccomp:
        log.warning("this host lacks a part of the sandbox: %s", made)
    return made


def _allow_niceness(nice: int) -> None:
    limit = 20 - nice
    try:
        resource.setrlimit(resource.RLIMIT_NICE, (limit, limit))
    except (OSError, ValueError):
        # Without CAP_SYS_RESOURCE the kernel locks all memory of the process, or none.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, nice)


def _lock_memory() -> bool:
    """Keep keys out of swap, in memory that the process maps later, too."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, unlimited)
        libc.call("mlockall", ctypes.c_int(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT))
    except (OSError, ValueError):
        return False
    return True


def _readable() -> Iterable[Path]:
    """The files of the program, and those that the interpreter reads later."""
    yield from map(Path, (*_SYSTEM, *_FILES))
    yield from map(Path, sysconfig.get_paths().values())
    yield from (Path(entry) for entry in sys.path if entry)
    program = Path(__file__).parents[3]
    yield from (program / "fs_tunnel", program / "fs_wire")
