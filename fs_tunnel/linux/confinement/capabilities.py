# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Give up root's powers: capabilities(7) of the calling thread, and of threads it will start."""

import ctypes
import errno
from collections.abc import Collection

from fs_wire import libc

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
    """Give up all capabilities but ``kept``, for good; OSError if one of those is missing.

    If a service manager has left us no others, we make no call, since it may forbid the calls.
    """
    mask = sum(1 << number for number in kept)
    header, held = _Header(_VERSION_3, 0), (_Data * 2)()
    libc.call("capget", ctypes.byref(header), held)
    if _whole(held, "permitted") == _whole(held, "effective") == mask:
        return
    for number in range(_MORE_THAN_THERE_ARE):
        if number not in kept and not _drop_from_bounding_set(number):
            break
    data = (_Data * 2)(
        *(_Data(mask >> shift & 0xFFFFFFFF, mask >> shift & 0xFFFFFFFF, 0) for shift in (0, 32))
    )
    libc.call("capset", ctypes.byref(header), data)


def _whole(data: "ctypes.Array[_Data]", name: str) -> int:
    low, high = (int(getattr(half, name)) for half in data)
    return low | high << 32


def _drop_from_bounding_set(number: int) -> bool:
    """Drop one from the bounding set; False if the kernel has no such capability."""
    try:
        libc.prctl(libc.PR_CAPBSET_DROP, number)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return False
        if error.errno != errno.EPERM:  # Without CAP_SETPCAP we cannot change the set that we got.
            raise
    return True
