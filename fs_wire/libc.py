# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""System calls that Python does not offer."""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38


def call(function: str, *arguments: object) -> int:
    """Call a function of the C library, and return its result; raise OSError if it is negative."""
    return _checked(function, getattr(_libc, function)(*arguments))


def system_call(number: int, *arguments: object) -> int:
    """Make a system call that has no function in the C library; results as in ``call``."""
    return _checked(f"system call {number}", _libc.syscall(ctypes.c_long(number), *arguments))


def prctl(option: int, *arguments: int) -> int:
    """Change the calling process or thread; raise OSError if the kernel refuses.

    Source: prctl(2).
    """
    padded = (*arguments, 0, 0, 0, 0)[:4]
    return call("prctl", ctypes.c_int(option), *(ctypes.c_ulong(each) for each in padded))


def _checked(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result
