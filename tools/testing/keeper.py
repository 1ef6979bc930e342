# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The first process of a scene: it waits for all others, and is forked for command lines.

It has imported the whole program and runs no thread, so that a fork of it begins where a new Python
would be after a second of imports. All else is as for a new process: arguments, environment,
directory, standard streams, signals, mounts, network namespace, and the module is run as
``__main__``.
"""

import atexit
import contextlib
import fcntl
import importlib
import json
import logging
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from tools.testing import room

_LARGEST = 256 << 10  # bytes of a request
_DESCRIPTORS = 16  # at most, with a request
_FOR_LEFTOVERS = 30.0  # s; a process that was told to end may need some time


@dataclass(frozen=True)
class CommandLine:
    """``python -m module arguments``.

    ``network`` names a namespace for ``ip netns exec``, or is the path of one for ``nsenter``,
    which leaves mounts alone.
    """

    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    network: str = ""


class Keeper:
    """Serves requests that come by ``requests``; see ``request``."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._asked: dict[int, socket.socket] = {}

    def keep(self, inhabitant: int) -> tuple[int, list[str]]:
        """Wait for ``inhabitant``; its status for ``waitpid``, and the commands it left running."""
        with selectors.DefaultSelector() as selector:
            woken, wakes = socket.socketpair()
            for each in (woken, wakes):
                each.setblocking(False)
            signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
            signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
            selector.register(woken, selectors.EVENT_READ)
            selector.register(self._requests, selectors.EVENT_READ)
            while True:
                status = self._reap(inhabitant)
                if status is not None:
                    break
                for key, _ in selector.select():
                    if key.fileobj is woken:
                        woken.recv(4096)
                    elif not self._serve():
                        selector.unregister(self._requests)
        deadline = time.monotonic() + _FOR_LEFTOVERS
        while (left := room.others()) and time.monotonic() < deadline:
            self._reap(inhabitant)
            time.sleep(0.01)
        return status, left

    def _reap(self, inhabitant: int) -> int | None:
        """Take the status of all that ended; that of the inhabitant, if it is among them."""
        found = None
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == inhabitant:
                    found = status
                elif pid in self._asked:
                    with self._asked.pop(pid) as reply, contextlib.suppress(OSError):
                        reply.send(status.to_bytes(4))
        return found

    def _serve(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._requests, _LARGEST, _DESCRIPTORS)
        if not data:
            return False
        command = CommandLine(**json.loads(data))
        pid = os.fork()
        replying, *given = descriptors
        if pid == 0:
            _become(command, given)
        for each in given:
            os.close(each)
        reply = socket.socket(fileno=replying)
        reply.send(pid.to_bytes(4))
        self._asked[pid] = reply
        return True


class Request:
    """A command line that runs; ``streams`` become its descriptors 0, 1, 2 and so on."""

    def __init__(self, keeper: socket.socket, command: CommandLine, streams: Iterable[int]) -> None:
        self._reply, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, open("/proc/self/ns/mnt", "rb") as mounts:
            message = json.dumps(asdict(command)).encode()
            given = [theirs.fileno(), mounts.fileno(), *streams]
            socket.send_fds(keeper, [message], given)
        self.pid = int.from_bytes(self._reply.recv(4))

    def fileno(self) -> int:
        """What can be read once it has ended."""
        return self._reply.fileno()

    def wait(self) -> int:
        """How it ended, as ``subprocess`` says it."""
        with self._reply:
            return os.waitstatus_to_exitcode(int.from_bytes(self._reply.recv(4)))


def run(
    keeper: socket.socket, command: CommandLine, stdin: str, seconds: float
) -> "subprocess.CompletedProcess[str]":
    """Run a command line to its end; as ``subprocess.run``, with what it said."""
    with contextlib.ExitStack() as stack:
        reading = []
        streams = [stack.enter_context(_holding(stdin))]
        for _ in range(2):
            ours, theirs = os.pipe()
            reading.append(stack.enter_context(os.fdopen(ours, "rb", buffering=0)))
            streams.append(theirs)
        try:
            request = Request(keeper, command, streams)
        finally:
            for each in streams[1:]:
                os.close(each)
        said = [b"", b""]
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            for number, pipe in enumerate(reading):
                selector.register(pipe, selectors.EVENT_READ, number)
            while selector.get_map():
                ready = selector.select(deadline - time.monotonic())
                if not ready:
                    os.kill(request.pid, signal.SIGKILL)
                    raise subprocess.TimeoutExpired(list(command.arguments), seconds, *said)
                for key, _ in ready:
                    data = os.read(key.fd, 1 << 16)
                    said[key.data] += data
                    if not data:
                        selector.unregister(key.fileobj)
        code = request.wait()
    out, err = (each.decode() for each in said)
    return subprocess.CompletedProcess(list(command.arguments), code, out, err)


@contextlib.contextmanager
def _holding(text: str) -> Iterator[int]:
    """A descriptor from which ``text`` can be read."""
    made = os.memfd_create("stdin")
    try:
        os.write(made, text.encode())
        os.lseek(made, 0, os.SEEK_SET)
        yield made
    finally:
        os.close(made)


def _become(command: CommandLine, given: Sequence[int]) -> NoReturn:
    """Be the process of a command line, to its end; ``given`` are its mounts and its streams."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _prepare(command, given)
        code = _code_of(command.module)
        for each in (sys.stdout, sys.stderr):
            each.flush()
    except BaseException:  # noqa: BLE001 - nothing may come back into the copy of the keeper
        traceback.print_exc()
    finally:
        os._exit(code)


def _prepare(command: CommandLine, given: Sequence[int]) -> None:
    mounts, *streams = given
    if os.geteuid() == 0:
        room.enter_mounts(mounts)
    # First out of the way of the numbers that they get.
    aside = [fcntl.fcntl(stream, fcntl.F_DUPFD, 64) for stream in streams]
    for number, stream in enumerate(aside):
        os.dup2(stream, number)
    os.closerange(len(streams), max(map(int, os.listdir("/proc/self/fd"))) + 1)  # noqa: PTH208 - numbers
    os.environ.clear()
    os.environ.update(command.environment)
    os.chdir(command.folder)
    if command.network.startswith("/"):
        room.join_network(Path(command.network))
    elif command.network:
        room.enter_network(command.network)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, buffering=1, closefd=False, errors=errors)  # noqa: SIM115
        for number, mode, errors in (
            (0, "r", "strict"),
            (1, "w", "strict"),
            (2, "w", "backslashreplace"),
        )
    )
    sys.argv = [command.module, *command.arguments]
    path = [each for each in command.environment.get("PYTHONPATH", "").split(":") if each]
    sys.path[:0] = [command.folder, *path]
    importlib.invalidate_caches()
    logging.root.handlers.clear()
    atexit._clear()


def _code_of(module: str) -> int:
    """Run a module to its end, and what it leaves for the end of a process."""
    # Or runpy would warn that it is there already.
    sys.modules.pop(module, None)
    code: object = None
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - as Python tells it
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined] # as Python ends
    atexit._run_exitfuncs()
    if code is None:
        return 0
    return code & 0xFF if isinstance(code, int) else 1
