# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The kernel's TUN device: the engine reads and writes packets of an interface as bytes.

Source: Linux, Documentation/networking/tuntap.rst; include/uapi/linux/if_tun.h.
"""

import contextlib
import errno
import fcntl
import os
import re
from typing import NamedTuple

import pytun

from fs_wire.errors import (
    FlowShieldError,
    PrivilegeError,
    SystemChangeError,
    UsageError,
)

_NAME = re.compile(r"[a-zA-Z0-9_=+.-]{1,15}")
_REMEDIES = {
    errno.ENOENT: "load the driver with modprobe tun, or give the container --device /dev/net/tun",
    errno.ENODEV: "load the driver with modprobe tun",
    errno.ENXIO: "load the driver with modprobe tun",
    errno.EBUSY: "another program holds it; choose another name or take it down",
    errno.EINVAL: "an interface of another kind has this name; choose another",
}


_TUNSETOFFLOAD = 0x400454D0
_TUN_F_CSUM, _TUN_F_TSO4, _TUN_F_TSO6, _TUN_F_TSO_ECN = 0x01, 0x02, 0x04, 0x08
_TUN_F_USO4, _TUN_F_USO6 = 0x20, 0x40
_TCP = _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO6 | _TUN_F_TSO_ECN
_UDP = _TUN_F_USO4 | _TUN_F_USO6  # The kernel takes both or neither.


class Offloads(NamedTuple):
    """Packets that the kernel may join: one frame carries many segments, both ways."""

    tcp: bool
    udp: bool  # kernels since 6.2


class Tun:
    """An open TUN; it disappears when the last process that holds it closes it."""

    def __init__(self, devices: list[pytun.TunTapDevice]) -> None:
        self._devices = devices
        self._device = devices[0]
        self._mtu = self._device.mtu
        self.name: str = self._device.name
        for device in devices:
            os.set_blocking(device.fileno(), False)
            os.set_inheritable(device.fileno(), False)

    def fileno(self) -> int:
        """The first queue's file number: a read or a write is one packet or frame."""
        return self._device.fileno()

    @property
    def queues(self) -> list[int]:
        """File numbers, one for each queue; each flow stays in one queue."""
        return [device.fileno() for device in self._devices]

    def enable_offloads(self) -> Offloads:
        """Switch on all offloads that the kernel has; only for a TUN with frames."""
        for flags, offloads in (
            (_TCP | _UDP, Offloads(tcp=True, udp=True)),
            (_TCP, Offloads(tcp=True, udp=False)),
        ):
            with contextlib.suppress(OSError):
                for queue in self.queues:
                    fcntl.ioctl(queue, _TUNSETOFFLOAD, flags)
                return offloads
        return Offloads(tcp=False, udp=False)

    @property
    def mtu(self) -> int:
        """The MTU in bytes; once the interface is in another namespace, the last one known."""
        with contextlib.suppress(pytun.Error):
            self._mtu = self._device.mtu
        return self._mtu

    @mtu.setter
    def mtu(self, mtu: int) -> None:
        self._device.mtu = self._mtu = mtu

    def close(self) -> None:
        for device in self._devices:
            device.close()


def open_tun(name: str, *, queues: int = 0, extra_flags: int = 0) -> Tun:
    """Create the TUN interface ``name``, without packet information, non-blocking.

    With ``queues``, we read and write frames: a virtio_net_hdr, then the packet.

    UsageError for a name that no interface can have, PrivilegeError without CAP_NET_ADMIN,
    SystemChangeError if the kernel refuses; each says what to do.
    """
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise UsageError(
            f"{name!r} is no interface name; use 1 to 15 of the characters a-z A-Z 0-9 _ = + . -"
        )
    flags = pytun.IFF_TUN | pytun.IFF_NO_PI | extra_flags
    if queues:
        flags |= pytun.IFF_VNET_HDR
    if queues > 1:
        flags |= pytun.IFF_MULTI_QUEUE
    devices: list[pytun.TunTapDevice] = []
    try:
        for _ in range(max(1, queues)):
            devices.append(pytun.TunTapDevice(name, flags))
            name = devices[0].name  # a pattern such as "tun%d" got a number
        return Tun(devices)
    except (pytun.Error, OSError) as error:
        for device in devices:
            device.close()
        raise _explain(name, error) from None


def _explain(name: str, error: Exception) -> FlowShieldError:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    if number in (errno.EPERM, errno.EACCES):
        return PrivilegeError(f"creating {name} needs CAP_NET_ADMIN; run it as root")
    remedy = _REMEDIES.get(number, "see the kernel's log")
    return SystemChangeError(f"the TUN {name} cannot be opened: {os.strerror(number)}; {remedy}")
