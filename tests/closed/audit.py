# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Tells what a Python process opens of its own program after it gave up root.

It is the ``sitecustomize`` of every Python that starts while ``folders.closed`` lasts. A process
that set no_new_privs has given up root: everything of the program that does so sets it. Whether the
file could be opened does not matter: on another machine it could not.
"""

import contextlib
import ctypes
import fcntl
import os
import sys
from pathlib import Path
from types import FrameType

_PR_GET_NO_NEW_PRIVS = 39
_OPENINGS = ("open", "os.listdir", "os.scandir")
_STARTS = ("subprocess.Popen", "os.exec", "os.posix_spawn")
_LEAST_DESCRIPTOR = 500  # out of the way of what the program passes on
# It shows the lines of a traceback, and does without where it cannot.
_MAY_FAIL = "linecache.py"
_MOST_FRAMES = 12


def arm(log: str, folders: tuple[str, ...]) -> None:
    """Write a line to ``log`` for each opening below ``folders``, and for each import."""
    with open(log, "ab", buffering=0) as file:
        told = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _LEAST_DESCRIPTOR)
    prctl = ctypes.CDLL(None).prctl
    command = " ".join(sys.orig_argv)
    is_busy = False
    # A service manager may set it before: then another user is the only sign.
    was_set = bool(prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0))

    def has_given_up_root() -> bool:
        return os.geteuid() != 0 or (not was_set and bool(prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)))

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal is_busy
        if is_busy or not has_given_up_root():
            return
        is_busy = True
        try:
            if what := _named(event, arguments, folders):
                where = _stack(sys._getframe().f_back)
                if _MAY_FAIL not in where:
                    os.write(told, f"{command}: {event} {what}, by {where}\n".encode())
        finally:
            is_busy = False

    sys.addaudithook(hear)


def _named(event: str, arguments: tuple[object, ...], folders: tuple[str, ...]) -> str:
    """What of the program an event is about; empty if it is about none of it."""
    if event == "import":
        return str(arguments[0])
    if event not in (*_OPENINGS, *_STARTS):
        return ""
    with contextlib.suppress(TypeError, ValueError):  # a descriptor, say
        path = os.fsdecode(arguments[0])  # type: ignore[arg-type]
        if Path(path).is_absolute() and path.startswith(folders):
            return path
    return ""


def _stack(frame: FrameType | None) -> str:
    found: list[str] = []
    while frame is not None and len(found) < _MOST_FRAMES:
        code = frame.f_code
        if not code.co_filename.startswith("<frozen"):
            found.append(f"{code.co_filename}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(found)
