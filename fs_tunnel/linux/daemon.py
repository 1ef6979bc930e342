"""Becoming a daemon: a process of its own session, for which who started it need not wait.

The command that starts a daemon ends when the daemon is ready, with 0, or else with what it said.
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
    """Go on in a process of its own; this one ends when what is yielded is called.

    Where the block ends before, it ends with the error of the block, which it tells.
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
    """Where a daemon's log goes: syslog(3), or nowhere on a host without."""
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
