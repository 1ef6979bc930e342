# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A mount namespace in which the program lies where only root can enter.

Each folder of the program gets a cover of the mode 0700; what is in the folder is there still. If
the cover belongs to another user, as the home of a user who called sudo does, root enters by
CAP_DAC_READ_SEARCH alone.
"""

import ctypes
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.netns.topology import REPOSITORY
from tools.testing import commands

_CLONE_FS, _CLONE_NEWNS = 0x00000200, 0x00020000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_libc = ctypes.CDLL(None, use_errno=True)


def program() -> tuple[Path, ...]:
    """What a Python process of the program reads: the repository with its .venv, and Python's."""
    standard = Path(sysconfig.get_path("stdlib"))
    return tuple(dict.fromkeys((REPOSITORY, Path(sys.prefix), standard)))


@contextmanager
def closed(log: Path, owner: int = 0) -> Iterator[None]:
    """In the block this thread, and all that it starts, finds the program in closed folders.

    ``log`` gets a line for all that is opened or imported of it by a process that gave up root.
    """
    before, where = os.open("/proc/self/ns/mnt", os.O_RDONLY), Path.cwd()
    # A fork of the scene's first process would be outside of these folders.
    keeper, commands.keeper = commands.keeper, None
    try:
        _call("unshare", ctypes.c_int(_CLONE_NEWNS))
        try:
            _close(log, owner)
            os.chdir(where)
            yield
        finally:
            # Threads that started meanwhile share our working directory, which setns(2) refuses.
            _call("unshare", ctypes.c_int(_CLONE_FS))
            _call("setns", ctypes.c_int(before), ctypes.c_int(_CLONE_NEWNS))
            os.chdir(where)
    finally:
        commands.keeper = keeper
        os.close(before)


def _close(log: Path, owner: int) -> None:
    _mount("none", Path("/"), _MS_REC | _MS_PRIVATE)
    standard = Path(sysconfig.get_path("stdlib"))
    customize = standard / "sitecustomize.py"
    for folder in program():
        if not any(other in folder.parents for other in program()):
            _cover(folder, owner, leave_out=customize.name if folder == standard else "")
    folders = tuple(f"{each}/" for each in program())
    text = (Path(__file__).parent / "audit.py").read_text()
    customize.write_text(f"{text}\n\narm({str(log)!r}, {folders!r})\n")


def _cover(folder: Path, owner: int, leave_out: str) -> None:
    beneath = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        _mount("tmpfs", folder, 0, kind="tmpfs", options=f"mode=0700,uid={owner},gid={owner}")
        for entry in Path(f"/proc/self/fd/{beneath}").iterdir():
            if entry.name != leave_out:
                _show(entry, folder / entry.name)
    finally:
        os.close(beneath)


def _show(entry: Path, at: Path) -> None:
    if entry.is_symlink():
        at.symlink_to(entry.readlink())
        return
    if entry.is_dir():
        at.mkdir()
    else:
        at.touch()
    _mount(str(entry), at, _MS_BIND | _MS_REC)


def _mount(source: str, target: Path, flags: int, *, kind: str = "", options: str = "") -> None:
    _call(
        "mount",
        source.encode(),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )


def _call(function: str, *arguments: object) -> None:
    if getattr(_libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
