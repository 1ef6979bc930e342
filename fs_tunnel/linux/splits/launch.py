# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Start a program in a network namespace or a cgroup, as its user, and stay with it to its end.

The program keeps our terminal, process group, environment and directory.  Signals of the user's
keyboard reach both processes.  We pass on the signals that another process sends to us.
"""

import ctypes
import os
import pwd
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from fs_tunnel.linux.journal.state import state_directory
from fs_wire import libc
from fs_wire.errors import SystemChangeError, UsageError

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x80000
_MNT_DETACH = 2
_RESOLV_CONF, _NSSWITCH = Path("/etc/resolv.conf"), Path("/etc/nsswitch.conf")
# Services that resolve names over a socket in the file system.  They would do so from outside of
# the program's namespace, so we hide their sockets.
_OTHER_ROADS = (Path("/run/nscd"), Path("/run/systemd/resolve/io.systemd.Resolve"))
_PASSED_ON = {
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCONT),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM),
}
_NOT_FOUND, _NOT_RUNNABLE, _BY_SIGNAL = 127, 126, 128  # exit codes, as in a shell


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a program; ``resolv_conf`` is the text for it, None for the host's own."""

    namespace: Path | None = None
    cgroup: Path | None = None
    resolv_conf: str | None = None


@dataclass(frozen=True, slots=True)
class User:
    """The user that a program runs as."""

    uid: int
    gid: int
    name: str
    home: str

    @classmethod
    def of(cls, named: str | None) -> "User | None":
        """A user by name or number. Default: the caller of sudo(8), or None for our own user.

        UsageError if there is no such user.
        """
        wanted = named if named is not None else os.environ.get("SUDO_UID")
        if wanted is None:
            return None
        try:
            found = pwd.getpwuid(int(wanted)) if wanted.isdecimal() else pwd.getpwnam(wanted)
        except (KeyError, OverflowError):
            raise UsageError(f"there is no user {wanted}; name another one with --user") from None
        return cls(found.pw_uid, found.pw_gid, found.pw_name, found.pw_dir)


def start(argv: Sequence[str], place: Place, user: User | None) -> int:
    """Start a program in its place, and return its process id.

    Signals are blocked from here to ``wait``.  SystemChangeError if we cannot enter the place.
    """
    heard = {*_PASSED_ON, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ready)
        _become(argv, place, user, before, told)
    os.close(told)
    with os.fdopen(ready, encoding="utf-8") as stream:
        said = stream.read()
    if said:
        os.waitpid(pid, 0)
        raise SystemChangeError(said)
    return pid


def wait(pid: int) -> int:
    """Pass signals on until a program ends; return its exit code, above 128 for a signal."""
    while True:
        heard = signal.sigwaitinfo({*_PASSED_ON, signal.SIGCHLD})
        if heard.si_signo != signal.SIGCHLD:
            # A signal of the terminal has a positive code, and has reached the program already.
            if heard.si_code <= 0:
                os.kill(pid, heard.si_signo)
            continue
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else _BY_SIGNAL - code


def _become(
    argv: Sequence[str], place: Place, user: User | None, mask: Iterable[int], told: int
) -> NoReturn:
    """Become the program, in the child; this never returns."""
    code = _NOT_RUNNABLE
    try:
        _enter(place)
        if user is not None:
            _drop_to(user)
        # Python ignores these signals, and a program would inherit that.
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(ignored, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            os.execvp(argv[0], list(argv))  # noqa: S606
        except OSError as error:
            code = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_RUNNABLE
            os.write(2, f"fs-tunnel: {argv[0]}: {error.strerror}\n".encode())
    except OSError as error:
        os.write(told, f"the place of {argv[0]} cannot be entered: {error}; run as root".encode())
    finally:
        os._exit(code)


def _enter(place: Place) -> None:
    if place.cgroup is not None:
        (place.cgroup / "cgroup.procs").write_text("0")  # 0 is the process that writes it
    if place.namespace is not None:
        descriptor = os.open(place.namespace, os.O_RDONLY | os.O_CLOEXEC)
        libc.call("setns", ctypes.c_int(descriptor), ctypes.c_int(_CLONE_NEWNET))
    if place.resolv_conf is not None:
        _use_resolvers(place.resolv_conf)


def _use_resolvers(resolv_conf: str) -> None:
    """Let this process alone see other files for the resolution of names."""
    libc.call("unshare", ctypes.c_int(_CLONE_NEWNS))
    _mount(None, Path("/"), None, _MS_REC | _MS_SLAVE)
    scratch = state_directory()  # any directory will do: we mount an overlay on it
    _mount("fs-tunnel", scratch, "tmpfs", 0)
    for path, text in ((_RESOLV_CONF, resolv_conf), (_NSSWITCH, _without_daemons())):
        if path.exists():
            written = scratch / path.name
            written.write_text(text)
            written.chmod(0o644)
            _mount(str(written), path, None, _MS_BIND)
    for path in _OTHER_ROADS:
        if path.is_dir():
            _mount("fs-tunnel", path, "tmpfs", 0)
        elif path.exists():
            _mount("/dev/null", path, None, _MS_BIND)
    libc.call("umount2", os.fsencode(scratch), ctypes.c_int(_MNT_DETACH))


def _without_daemons() -> str:
    """nsswitch.conf(5), with hosts looked up by the C library itself."""
    try:
        lines = _NSSWITCH.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    kept = [line for line in lines if not line.lstrip().startswith("hosts:")]
    return "\n".join([*kept, "hosts: files dns", ""])


def _mount(source: str | None, target: Path, kind: str | None, flags: int) -> None:
    libc.call(
        "mount",
        None if source is None else source.encode(),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        None,
    )


def _drop_to(user: User) -> None:
    os.setgroups(os.getgrouplist(user.name, user.gid))
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    os.environ.update(HOME=user.home, USER=user.name, LOGNAME=user.name)
