"""System calls that Python has no words for."""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38


def call(function: str, *arguments: object) -> int:
    """Call a function of the C library that returns -1 with errno; OSError then."""
    return _checked(function, getattr(_libc, function)(*arguments))


def system_call(number: int, *arguments: object) -> int:
    """As ``call``, for a system call that the C library has no function for."""
    return _checked(f"system call {number}", _libc.syscall(ctypes.c_long(number), *arguments))


def prctl(option: int, *arguments: int) -> int:
    """Change the calling process or thread; OSError where the kernel refuses."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    return call("prctl", ctypes.c_int(option), *(ctypes.c_ulong(each) for each in padded))


def _checked(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result
