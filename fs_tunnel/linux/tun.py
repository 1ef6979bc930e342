"""The kernel's TUN device: packets of an interface, read and written as bytes.

Source: Linux, Documentation/networking/tuntap.rst.
"""

import contextlib
import errno
import os
import re

import pytun

from fs_tunnel.errors import FlowShieldError, PrivilegeError, SystemChangeError, UsageError

_NAME = re.compile(r"[a-zA-Z0-9_=+.-]{1,15}")
_REMEDIES = {
    errno.ENOENT: "load the driver with modprobe tun, or give the container --device /dev/net/tun",
    errno.ENODEV: "load the driver with modprobe tun",
    errno.ENXIO: "load the driver with modprobe tun",
    errno.EBUSY: "another program holds it; choose another name or take it down",
    errno.EINVAL: "an interface of another kind has this name; choose another",
}


class Tun:
    """An open TUN; it disappears when the last process that holds it closes it."""

    def __init__(self, device: pytun.TunTapDevice) -> None:
        self._device = device
        self._mtu = device.mtu
        self.name: str = device.name
        os.set_blocking(device.fileno(), False)
        os.set_inheritable(device.fileno(), False)

    def fileno(self) -> int:
        """For ``os.read`` and ``os.write``: one packet a call, without a header."""
        return self._device.fileno()

    @property
    def mtu(self) -> int:
        """In bytes; the latest known once the interface is in another network namespace."""
        with contextlib.suppress(pytun.Error):
            self._mtu = self._device.mtu
        return self._mtu

    @mtu.setter
    def mtu(self, mtu: int) -> None:
        self._device.mtu = self._mtu = mtu

    def close(self) -> None:
        self._device.close()


def open_tun(name: str, *, extra_flags: int = 0) -> Tun:
    """Create the TUN interface ``name``, without packet information, non-blocking.

    UsageError for a name that no interface can have, PrivilegeError without CAP_NET_ADMIN,
    SystemChangeError where the kernel refuses; each says what to do.
    """
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise UsageError(
            f"{name!r} is no interface name; use 1 to 15 of the characters a-z A-Z 0-9 _ = + . -"
        )
    try:
        return Tun(pytun.TunTapDevice(name, pytun.IFF_TUN | pytun.IFF_NO_PI | extra_flags))
    except (pytun.Error, OSError) as error:
        raise _explain(name, error) from None


def _explain(name: str, error: Exception) -> FlowShieldError:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    if number in (errno.EPERM, errno.EACCES):
        return PrivilegeError(f"creating {name} needs CAP_NET_ADMIN; run it as root")
    remedy = _REMEDIES.get(number, "see the kernel's log")
    return SystemChangeError(f"the TUN {name} cannot be opened: {os.strerror(number)}; {remedy}")
