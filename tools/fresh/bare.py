# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A bare system that runs: its namespaces, its network, and commands in it.

All of its processes are in one pid namespace, and all of its mounts in one mount namespace.  Both
end with the first process, which ends with this one, however this one ends.
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from tools.cgroup import cgroup

# Until the new one is mounted, /proc shows the ids that this machine sees.
_PLAIN_INIT = """read -r id _ </proc/self/stat
mount -t proc proc /proc && printf '%s\\nup\\n' "$id" >&"$0" && exec "$@"
"""
_INIT = Path(__file__).with_name("init.sh")
# The kernel ends what follows when its parent, this process, is gone.
_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
_CONTAINED = ("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL")
_SYSTEM = ("--net", "--ipc", "--uts", "--cgroup")
_ENTER = ("nsenter", "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup")
_NETWORK = ("slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback")
NAMESERVER = "10.0.2.3"  # of slirp4netns, which asks this machine's
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOOK_EVERY = 0.5
PROGRAMS = {
    "debootstrap": "debootstrap",
    "slirp4netns": "slirp4netns",
    "unshare": "util-linux",
    "setpriv": "util-linux",
}

Seen = Callable[[], None]


class NotUp(Exception):
    """A bare system did not come up; its log says more."""


def contained(command: Sequence[str], log: IO[bytes], seen: Seen) -> int:
    """Run a command that may mount and start what it likes; nothing of that outlasts it."""
    reading, writing = os.pipe()
    argv = [*_CONTAINED, "bash", "-c", _PLAIN_INIT, str(writing), *command]
    with ExitStack() as stack:
        process = stack.enter_context(_started(argv, log, pass_fds=[writing]))
        os.close(writing)
        stack.enter_context(_ended(reading))
        return _wait(process, seen)


class BareSystem:
    """Commands in a system that is up."""

    def __init__(self, first: int, group: Path, log: IO[bytes]) -> None:
        self._first = first
        self._group = group
        self._log = log

    def run(self, command: str, seen: Seen, user: str = "root") -> int:
        """Run a line of shell as somebody who logged in; return its exit status."""
        home = "/root" if user == "root" else f"/home/{user}"
        environment = (f"HOME={home}", f"USER={user}", f"PATH={_PATH}", "TERM=dumb", "LANG=C.UTF-8")
        argv = [
            *(*_in_group(self._group), *_ENTER, "--target", str(self._first), "--"),
            *("env", "-i", *environment, "setpriv", f"--reuid={user}", f"--regid={user}"),
            *("--init-groups", "bash", "-c", f"cd && {command}"),
        ]
        self._log.write(f"\n$ {command}\n".encode())
        self._log.flush()
        with _started(argv, self._log) as process:
            return _wait(process, seen)


@contextmanager
def booted(root: Path, log: IO[bytes]) -> Iterator[BareSystem]:
    """Start a system from its root folder; at the end nothing of it runs or is mounted."""
    with ExitStack() as stack:
        group = stack.enter_context(cgroup("fresh"))
        reading, writing = os.pipe()
        argv = [
            *(*_in_group(group), *_CONTAINED, *_SYSTEM),
            *("bash", str(_INIT), str(root), str(writing)),
        ]
        stack.enter_context(_started(argv, log, pass_fds=[writing]))
        os.close(writing)
        first = stack.enter_context(_ended(reading))
        stack.enter_context(_network(first, log))
        yield BareSystem(first, group, log)


@contextmanager
def _started(
    argv: Sequence[str], log: IO[bytes], pass_fds: Sequence[int] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with this one; Ctrl-C comes only to this one."""
    with subprocess.Popen(
        [*_WITH_US, *argv],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        pass_fds=pass_fds,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@contextmanager
def _ended(reading: int) -> Iterator[int]:
    """The first process of a pid namespace, once it is up; at the end all of them are gone."""
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.readline()
        if not said:
            raise NotUp("its first process did not start")
        handle = os.pidfd_open(int(said))
        try:
            if pipe.readline() != b"up\n":
                raise NotUp("its first process ended")
            yield int(said)
        finally:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [])  # until it, and so all, are gone
            os.close(handle)


@contextmanager
def _network(first: int, log: IO[bytes]) -> Iterator[None]:
    """Connect a system with the machine's network, by a process that forwards in userspace."""
    reading, writing = os.pipe()
    argv = [*_NETWORK, f"--ready-fd={writing}", str(first), "tap0"]
    with _started(argv, log, pass_fds=[writing]):
        os.close(writing)
        with os.fdopen(reading, "rb") as ready:
            if not ready.read():
                raise NotUp("slirp4netns did not start")
        yield


def _in_group(group: Path) -> tuple[str, ...]:
    return ("bash", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(group))


def _wait(process: subprocess.Popen[bytes], seen: Seen) -> int:
    while process.poll() is None:
        seen()
        time.sleep(_LOOK_EVERY)
    return process.returncode
