"""Giving up root's powers: capabilities(7) of the calling thread, and of those it will start."""

import ctypes
import errno
from collections.abc import Collection

from fs_tunnel.linux import libc

NET_BIND_SERVICE = 10
NET_ADMIN = 12

_VERSION_3 = 0x20080522
_MORE_THAN_THERE_ARE = 64


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def keep_only(kept: Collection[int]) -> None:
    """Give up all capabilities but ``kept``, for good; OSError where one of those is missing."""
    for number in range(_MORE_THAN_THERE_ARE):
        if number not in kept and not _drop_from_bounding_set(number):
            break
    mask = sum(1 << number for number in kept)
    data = (_Data * 2)(
        *(_Data(mask >> shift & 0xFFFFFFFF, mask >> shift & 0xFFFFFFFF, 0) for shift in (0, 32))
    )
    libc.call("capset", ctypes.byref(_Header(_VERSION_3, 0)), data)


def _drop_from_bounding_set(number: int) -> bool:
    """False where the kernel has no such capability."""
    try:
        libc.prctl(libc.PR_CAPBSET_DROP, number)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return False
        if error.errno != errno.EPERM:  # without CAP_SETPCAP the set is what others made it
            raise
    return True
