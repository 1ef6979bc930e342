# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Confine a program as its systemd unit would, on a host without systemd.

python -m tests.netns.confined UNIT COMMAND...

Capabilities, system calls, address families, namespaces, executable memory and new privileges are
as the unit says. The unit's settings for the file system are not applied.
"""

import ctypes
import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

from fs_tunnel.linux.confinement.seccomp import Compare
from fs_wire import libc

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000  # seccomp.h of libseccomp
_EQUAL, _MASKED_EQUAL = 4, 7
_WRITE, _EXEC = 2, 4
# linux/sched.h: CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_NAMESPACES = 0x7E020080
_CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID"),
    *("SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW"),
)
_LAST_CAPABILITY = int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def settings(unit: Path) -> dict[str, list[str]]:
    """Read the unit's settings: each name with its values in their order."""
    said: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            said.setdefault(name, []).append(value)
    return said


def allowed_calls(lines: list[str]) -> set[str]:
    """Return the allowed system calls; each line adds or removes some (systemd.exec(5))."""
    calls: set[str] = set()
    for line in lines:
        is_removal = line.startswith("~")
        names = {call for word in line.lstrip("~").split() for call in _expand(word)}
        calls = calls - names if is_removal else calls | names
    return calls


def _expand(word: str) -> set[str]:
    if not word.startswith("@"):
        return {word}
    told = subprocess.run(
        ["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True
    ).stdout
    words = [line.strip() for line in told.splitlines()[1:]]
    return {call for each in words if each and each[0] != "#" for call in _expand(each)}


def confine(unit: Path) -> None:
    """Give up for good every right that the unit does not grant."""
    said = settings(unit)
    kept = {each.removeprefix("CAP_") for each in " ".join(said["CapabilityBoundingSet"]).split()}
    for number in range(_LAST_CAPABILITY + 1):
        name = _CAPABILITIES[number] if number < len(_CAPABILITIES) else ""
        if name not in kept:
            libc.prctl(libc.PR_CAPBSET_DROP, number)
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    families = [getattr(socket, each) for each in said["RestrictAddressFamilies"][0].split()]
    for name in ("MemoryDenyWriteExecute", "RestrictNamespaces", "NoNewPrivileges"):
        assert said[name] == ["yes"]
    _filter(allowed_calls(said["SystemCallFilter"]), families)


def _filter(calls: set[str], families: list[int]) -> None:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(_ERRNO | errno.EPERM))

    def rule(action: int, name: str, *conditions: Compare) -> None:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            array = (Compare * len(conditions))(*conditions)
            done = library.seccomp_rule_add_array(
                context, ctypes.c_uint32(action), number, len(conditions), array
            )
            assert done == 0, (name, os.strerror(-done))

    both = _WRITE | _EXEC
    special = {"mmap", "mprotect", "pkey_mprotect", "socket", "clone", "clone3", "unshare", "setns"}
    for call in calls - special:
        rule(_ALLOW, call)
    for protection in (0, _WRITE, _EXEC):
        rule(_ALLOW, "mmap", Compare(2, _MASKED_EQUAL, both, protection))
    for call in ("mprotect", "pkey_mprotect"):
        rule(_ALLOW, call, Compare(2, _MASKED_EQUAL, _EXEC, 0))
    for family in families:
        rule(_ALLOW, "socket", Compare(0, _EQUAL, family))
    rule(_ALLOW, "clone", Compare(0, _MASKED_EQUAL, _NAMESPACES, 0))
    # systemd does so, too, because no filter can read the flags of this call.
    rule(_ERRNO | errno.ENOSYS, "clone3")
    assert library.seccomp_load(context) == 0
    library.seccomp_release(context)


if __name__ == "__main__":
    confine(Path(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606
