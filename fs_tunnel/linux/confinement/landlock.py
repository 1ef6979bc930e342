# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Limit the files of the calling thread, and of threads that it will start: landlock(7)."""

import ctypes
import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from fs_wire import libc

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # on every architecture
_VERSION = 1
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << n for n in range(6))
_READ = _READ_FILE | _READ_DIR
# How many kinds of access each version of the interface knows.
_FS_ACCESSES = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_TCP = 0b11  # bind and connect; version 4
_SCOPES = 0b11  # abstract sockets and signals; version 6


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("parent", ctypes.c_int32))


class Rules(NamedTuple):
    """Rules to put in force: ``version`` is the kernel's interface version, 0 if it has none."""

    version: int
    descriptor: int


def prepare(readable: Iterable[Path], removable: Iterable[Path]) -> Rules:
    """Allow to read below ``readable`` and to remove files in ``removable``; forbid TCP.

    Make the rules while the process can still enter all of these folders.
    """
    version = _version()
    if not version:
        return Rules(0, -1)
    accesses = _FS_ACCESSES.get(version, _FS_ACCESSES[max(_FS_ACCESSES)])
    wanted = _Ruleset(
        (1 << accesses) - 1, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0
    )
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = libc.system_call(_CREATE_RULESET, ctypes.byref(wanted), ctypes.c_size_t(size), 0)
    try:
        for path in readable:
            _allow(ruleset, path, _READ)
        for path in removable:
            _allow(ruleset, path, _REMOVE_FILE)
    except BaseException:
        os.close(ruleset)
        raise
    return Rules(version, ruleset)


def restrict(rules: Rules) -> None:
    """Put the rules in force; open files stay open.  The caller must have set no_new_privs."""
    if not rules.version:
        return
    try:
        libc.system_call(_RESTRICT_SELF, rules.descriptor, 0)
    finally:
        os.close(rules.descriptor)


def _version() -> int:
    try:
        return libc.system_call(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP):
            return 0
        raise


def _allow(ruleset: int, path: Path, access: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not path.is_dir():
            access &= ~_READ_DIR
        rule = _PathBeneath(access, parent)
        libc.system_call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(parent)
