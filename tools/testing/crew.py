# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A crew of processes: each plays one scene in a room of its own, and reports to pytest.

pytest has imported and collected all tests once. A process for a scene is forked of it, so that no
scene pays for imports, and none sees what another left in memory.
"""

import contextlib
import itertools
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tools.cgroup import NoCgroup, cgroup
from tools.testing import commands, room
from tools.testing.keeper import Keeper
from tools.testing.pressure import Pressure
from tools.testing.scenes import Scene

_numbers = itertools.count(1)
_AT_LEAST = 1 + (os.cpu_count() or 1)
_LOOK = 1.0  # s


@dataclass
class Played:
    """A scene and what was reported of it."""

    scene: Scene
    reports: list[pytest.TestReport] = field(default_factory=list)
    started: str = ""  # the test that was started last
    left: list[str] = field(default_factory=list)  # commands that ran on after the last test
    status: int | None = None
    seconds: float = 0.0
    computed: float = 0.0  # seconds of processors, all its processes together

    @property
    def is_whole(self) -> bool:
        return self.status == 0


@dataclass
class _Player:
    """A process that plays a scene."""

    played: Played
    pid: int
    pipe: Connection
    begun: float


class Crew:
    """At most ``size`` scenes are played at once; none survives the ``with`` block."""

    def __init__(self, config: pytest.Config, size: int, cgroup: Path | None) -> None:
        self._config = config
        self._size = size
        self._cgroup = cgroup
        self._players: dict[int, _Player] = {}
        self._selector = selectors.DefaultSelector()
        self._pressure = Pressure()

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        for player in self._players.values():
            os.kill(player.pid, signal.SIGKILL)
            os.waitpid(player.pid, 0)
            player.pipe.close()
        self._selector.close()

    def play(self, scenes: Sequence[Scene]) -> Iterator[Played]:
        """Play all, in this order; each is yielded when it has ended."""
        waiting = list(reversed(scenes))
        while waiting or self._players:
            while waiting and self._has_room():
                self._start(waiting.pop())
            for key, _ in self._selector.select(_LOOK if waiting else None):
                player: _Player = key.data
                try:
                    kind, content = player.pipe.recv()
                except (EOFError, OSError):  # it ended, maybe within a message
                    yield self._finish(player)
                else:
                    self._hear(player.played, kind, content)

    def _has_room(self) -> bool:
        """A few scenes are always played; more only while processors are idle now and then.

        What runs is then nearly as quick as alone, and deadlines of the program are kept.
        """
        count = len(self._players)
        return count < self._size and (count < _AT_LEAST or self._pressure.has_room())

    def _hear(self, played: Played, kind: str, content: Any) -> None:
        if kind == "start":
            played.started = content
        elif kind == "left":
            played.left = content
        else:
            report = self._config.hook.pytest_report_from_serializable(
                config=self._config, data=content
            )
            played.reports.append(report)

    def _start(self, scene: Scene) -> None:
        hearing, telling = Pipe(duplex=False)
        sys.stdout.flush()
        sys.stderr.flush()
        number = next(_numbers)
        pid = os.fork() if self._cgroup is None else room.fork_into(self._cgroup / str(number))
        if pid == 0:
            self._forget()
            hearing.close()
            _play(self._config, scene, telling, has_room=self._cgroup is not None)
        telling.close()
        player = _Player(Played(scene), pid, hearing, time.monotonic())
        self._players[pid] = player
        self._selector.register(hearing, selectors.EVENT_READ, player)

    def _forget(self) -> None:
        """In a new process: what is heard of others is not for it."""
        for player in self._players.values():
            player.pipe.close()
        self._selector.close()

    def _finish(self, player: _Player) -> Played:
        self._selector.unregister(player.pipe)
        player.pipe.close()
        del self._players[player.pid]
        _, player.played.status, used = os.wait4(player.pid, 0)
        player.played.computed = used.ru_utime + used.ru_stime
        player.played.seconds = time.monotonic() - player.begun
        return player.played


def _play(config: pytest.Config, scene: Scene, pipe: Connection, *, has_room: bool) -> NoReturn:
    """Play a scene, and end the process."""
    code = 1
    try:
        os.setsid()  # what a terminal sends is for pytest, which then ends us
        requests, asked = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        inhabitant = os.fork()
        if inhabitant == 0:
            asked.close()
            commands.keeper = requests
            _perform(config, scene, pipe)
            code = 0
        else:
            requests.close()
            status, left = Keeper(asked).keep(inhabitant)
            if left and has_room:
                pipe.send(("left", left))
            code = os.waitstatus_to_exitcode(status)
    except BaseException:  # noqa: BLE001 - nothing may come back into the copy of pytest
        traceback.print_exc()
    finally:
        os._exit(code if 0 <= code < 256 else 1)


def _perform(config: pytest.Config, scene: Scene, pipe: Connection) -> None:
    plugins = config.pluginmanager
    capture = plugins.getplugin("capturemanager")
    # Where it captures is shared with all that were forked.
    capture.stop_global_capturing()
    capture.start_global_capturing()
    capture.suspend_global_capture()
    plugins.unregister(name="terminalreporter")
    plugins.register(_Teller(config, pipe))
    for item, following in itertools.zip_longest(scene.items, scene.items[1:]):
        config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    capture.stop_global_capturing()


class _Teller:
    """Tells pytest of each test."""

    def __init__(self, config: pytest.Config, pipe: Connection) -> None:
        self._config = config
        self._pipe = pipe

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._pipe.send(("start", nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._pipe.send(("report", data))


def cgroups() -> contextlib.AbstractContextManager[Path | None]:
    """The cgroup below which each room has one; none for a user, whose scenes have no rooms."""
    return _cgroups() if os.geteuid() == 0 else contextlib.nullcontext()


@contextlib.contextmanager
def _cgroups() -> Iterator[Path]:
    try:
        with cgroup("tests") as made:
            yield made
    except NoCgroup as error:
        raise pytest.UsageError(str(error)) from None
