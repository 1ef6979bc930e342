# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How a network process is started: as a child, or by a fork server that was started as root."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from typing import Protocol

from fs_net.errors import HostGone

# -P: Python must not import from the current directory.
_PYTHON = (sys.executable, "-P", "-m")
_MAX_SAID = 4096  # bytes


class Process(Protocol):
    """A network process, running or ended."""

    @property
    def pid(self) -> int: ...

    @property
    def has_ended(self) -> bool: ...

    async def wait(self) -> None:
        """Wait until the process has ended."""
        ...

    def kill(self) -> None: ...


class Launcher(Protocol):
    """Starts a network process with one end of a socketpair; the caller closes its own copy."""

    async def launch(self, end: socket.socket) -> Process: ...


class Exec:
    """Starts the network process as a child of this process."""

    async def launch(self, end: socket.socket) -> Process:
        return _Child(
            await asyncio.create_subprocess_exec(
                *(*_PYTHON, "fs_net.host_process", str(end.fileno())),
                pass_fds=[end.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
            )
        )


class ForkServer:
    """Starts network processes after this process has given up root.

    It is made while this process is still root. The processes that it starts run as the given user.
    """

    def __init__(self, uid: int, gid: int) -> None:
        self._end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [
                    *(*_PYTHON, "fs_net.host_process.forkserver", str(theirs.fileno())),
                    *(str(uid), str(gid), str(os.getpid())),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        self._lock = asyncio.Lock()
        self._has_served = False
        self._why = ""  # the last words of a server that ended
        self.lost = asyncio.Event()  # the server ended; only root could start another

    async def launch(self, end: socket.socket) -> Process:
        """Start a network process; raises HostGone if the server has ended."""
        async with self._lock:
            try:
                forked = _Forked(*await asyncio.to_thread(self._launch, end))
            except HostGone:
                if self._has_served:
                    self.lost.set()
                raise
            self._has_served = True
            return forked

    def _launch(self, end: socket.socket) -> tuple[int, int]:
        with contextlib.suppress(OSError):  # it has ended, and may have said why
            socket.send_fds(self._end, [b"\0"], [end.fileno()])
        try:
            said, descriptors, *_ = socket.recv_fds(self._end, _MAX_SAID, 1)
        except OSError:
            said, descriptors = b"", []
        if not descriptors:
            self._why = self._why or said.decode(errors="replace") or "what starts it has ended"
            self._end.close()
            self._server.wait()
            raise HostGone(
                f"no network process can be started ({self._why}); check that libp2p is there"
            )
        return int.from_bytes(said, "big"), descriptors[0]


class _Child:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.returncode is not None

    async def wait(self) -> None:
        await self._process.wait()

    def kill(self) -> None:
        self._process.kill()


class _Forked:
    """A process that is not our child; its pidfd tells when it ends."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid, self._descriptor = pid, descriptor
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._note_end)

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    async def wait(self) -> None:
        await self._ended.wait()

    def kill(self) -> None:
        if not self.has_ended:
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def _note_end(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._ended.set()
