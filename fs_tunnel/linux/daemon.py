# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Become a daemon: a process with its own session, which outlives the command that started it.

The command ends when the daemon is ready, with 0.  If the daemon fails first, the command prints
what the daemon said, and fails.
"""

import contextlib
import logging
import logging.handlers
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from fs_wire.errors import FlowShieldError

_READY = "ready"


@contextlib.contextmanager
def daemon(program: str) -> Iterator[Callable[[], None]]:
    """Go on in a process of its own; the first process ends when the yielded function is called.

    If the block ends before, the first process prints the block's error and fails.
    """
    ready, told = os.pipe()
    if os.fork():
        os.close(told)
        with os.fdopen(ready) as stream:
            said = stream.read()
        if said != _READY:
            sys.stderr.write(f"{said or f'{program}: error: it died at its start'}\n")
        # Not sys.exit: the child shares our buffers and exit handlers.
        sys.stderr.flush()
        os._exit(0 if said == _READY else 1)
    os.close(ready)
    with os.fdopen(told, "w") as stream:
        _leave_session()

        def be_ready() -> None:
            stream.write(_READY)
            stream.close()

        try:
            yield be_ready
        except FlowShieldError as error:
            if not stream.closed:
                stream.write(f"{program}: error: {error}")
            raise


def system_log(program: str) -> logging.Handler:
    """The handler of a daemon's log: syslog(3), or none on a host without it."""
    if not Path("/dev/log").exists():
        return logging.NullHandler()
    handler = logging.handlers.SysLogHandler("/dev/log", logging.handlers.SysLogHandler.LOG_DAEMON)
    handler.ident = f"{program}: "
    return handler


def _leave_session() -> None:
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    os.close(null)
