# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A room: the namespaces in which the tests of one scene run as root.

Whatever a test does to the network, to mounts, to /etc, /run, /var or /tmp, to processes or to
cgroups stays in its room. The room ends with its first process, and takes all others along.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from fs_wire import libc

REPOSITORY = Path(__file__).resolve().parents[2]

# Folders that start empty, and folders that start as the machine has them.
EMPTY = ("/dev/shm", "/run", "/tmp", "/var/tmp")  # noqa: S108
COPIED = ("/etc", "/var")
_MADE_IN_RUN = ("dbus", "fs-tunnel", "lock", "netns", "systemd", "wireguard")
HOME = "/tmp/home"  # noqa: S108
RESOLVERS = "nameserver 192.0.2.53\n"

# linux/sched.h
_NEW_CGROUP, _NEW_IPC, _NEW_MOUNTS, _NEW_NETWORK = 0x02000000, 0x08000000, 0x00020000, 0x40000000
_NEW_PIDS, _NEW_HOST_NAME = 0x20000000, 0x04000000
# linux/mount.h
_MS_BIND, _MS_MOVE, _MS_REC, _MS_PRIVATE, _MS_SLAVE = 1 << 12, 1 << 13, 1 << 14, 1 << 18, 1 << 19
_MNT_DETACH = 2
# linux/sockios.h, linux/if.h
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def fork_into(cgroup: Path) -> int:
    """Fork; 0 in the child, which is the first process of a room that is still to be furnished."""
    with open("/proc/self/ns/pid", "rb") as own:
        libc.call("unshare", ctypes.c_int(_NEW_PIDS))
        pid = os.fork()
        if pid != 0:
            # The next fork is not for this room.
            libc.call("setns", ctypes.c_int(own.fileno()), ctypes.c_int(_NEW_PIDS))
            return pid
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    furnish(cgroup)
    _mount("proc", "/proc", "proc")
    return 0


def furnish(cgroup: Path) -> None:
    """Leave the machine's network, mounts and cgroups."""
    cgroup.mkdir(parents=True)
    (cgroup / "cgroup.procs").write_text("0")
    kinds = _NEW_CGROUP | _NEW_IPC | _NEW_MOUNTS | _NEW_NETWORK | _NEW_HOST_NAME
    libc.call("unshare", ctypes.c_int(kinds))
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    _renew_sys()
    _mount("cgroup2", "/sys/fs/cgroup", "cgroup2")
    _furnish_folders()
    _raise_loopback()
    os.environ.update(HOME=HOME, XDG_RUNTIME_DIR="/run")
    Path(HOME).mkdir(mode=0o700)


def _furnish_folders() -> None:
    """Give the room its own folders; the repository stays, wherever it lies."""
    with _kept(REPOSITORY):
        _mount("tmpfs", "/dev/shm", "tmpfs")  # noqa: S108
        # Holds what is written to the copies until /tmp itself is replaced.
        _mount("tmpfs", "/run", "tmpfs")
        for number, folder in enumerate(COPIED):
            upper, work = Path(f"/run/upper{number}"), Path(f"/run/work{number}")
            upper.mkdir()
            work.mkdir()
            _copy(folder, upper, work)
        for folder in EMPTY[1:]:
            _mount("tmpfs", folder, "tmpfs", options="mode=1777")
    Path("/run").chmod(0o755)
    for name in _MADE_IN_RUN:
        Path("/run", name).mkdir()
    # On some machines it is a link into /run.
    Path("/etc/resolv.conf").unlink(missing_ok=True)
    Path("/etc/resolv.conf").write_text(RESOLVERS)


def _copy(folder: str, upper: Path, work: Path) -> None:
    status = Path(folder).stat()
    upper.chmod(status.st_mode & 0o7777)
    os.chown(upper, status.st_uid, status.st_gid)
    layers = f"lowerdir={folder},upperdir={upper},workdir={work}"
    _mount("overlay", folder, "overlay", options=layers)


@contextlib.contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """Folders above ``folder`` may be replaced meanwhile; it is there afterwards, as it was."""
    aside = Path("/mnt")
    _mount(str(folder), str(aside), "", _MS_BIND | _MS_REC)
    try:
        yield
    finally:
        folder.mkdir(parents=True, exist_ok=True)
        _mount(str(aside), str(folder), "", _MS_MOVE)
        os.chdir(folder)


def enter_mounts(descriptor: int) -> None:
    """Enter a mount namespace; a test may have made one for itself."""
    libc.call("setns", ctypes.c_int(descriptor), ctypes.c_int(_NEW_MOUNTS))


def join_network(path: Path) -> None:
    """Enter a network namespace as ``nsenter --net`` does."""
    with path.open("rb") as namespace:
        libc.call("setns", ctypes.c_int(namespace.fileno()), ctypes.c_int(_NEW_NETWORK))


def enter_network(name: str) -> None:
    """Enter a named network namespace as ``ip netns exec`` does: with its /sys and its files."""
    join_network(Path("/run/netns", name))
    libc.call("unshare", ctypes.c_int(_NEW_MOUNTS))
    _mount("none", "/", "", _MS_REC | _MS_SLAVE)
    _renew_sys()
    folder = Path("/etc/netns", name)
    for own in folder.iterdir() if folder.is_dir() else ():
        _mount(str(own), f"/etc/{own.name}", "", _MS_BIND)


def others() -> list[str]:
    """The commands of all processes of this room but the first."""
    pids = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]
    return [command for pid in pids if pid != 1 and (command := _command(pid))]


def _command(pid: int) -> str:
    """The command line of a process; nothing of one that is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def _renew_sys() -> None:
    """Have a /sys that describes the network namespace that we are in."""
    libc.call("umount2", b"/sys", ctypes.c_int(_MNT_DETACH))
    _mount("sysfs", "/sys", "sysfs")


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def _mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    libc.call(
        "mount",
        *(each.encode() for each in (source, target, kind)),
        ctypes.c_ulong(flags),
        options.encode(),
    )
