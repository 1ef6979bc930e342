# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Run the real systemd-resolved and a D-Bus for it in a namespace; the host's own are not touched.

This systemd-resolved gets a /run/systemd, an /etc/passwd and an /etc/group that only it sees.
"""

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, Properties, message_bus, new_method_call
from jeepney.io.blocking import DBusConnection, Proxy, prep_socket
from jeepney.wrappers import unwrap_msg
from scapy.layers.dns import DNS, DNSQR

from tests.netns.topology import Namespace
from tests.netns.waiting import wait_until
from tests.unpacked import libraries, program
from tools.testing import patience

STUB = "127.0.0.53"
_NAME = "org.freedesktop.resolve1"
_BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
  </policy>
</busconfig>
"""
_USER = "systemd-resolve"
# Both programs must know the user that systemd-resolved becomes.
_START_BUS = """
set -e
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/group" /etc/group
exec dbus-daemon --config-file="$1/bus.conf" --nofork --nopidfile
"""
_START_RESOLVED = f"""
set -e
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/group" /etc/group
mount -t tmpfs tmpfs /run/systemd
install -d -o {_USER} -g {_USER} /run/systemd/resolve
exec "$2"
"""


@dataclass(frozen=True)
class Bus:
    """A D-Bus that plays the system's bus in a namespace."""

    where: Namespace
    path: Path

    @property
    def env(self) -> dict[str, str]:
        return {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.path}"}

    @contextlib.contextmanager
    def connection(self) -> Iterator[DBusConnection]:
        with DBusConnection(prep_socket(str(self.path))) as connection:
            yield connection

    def has(self, name: str) -> bool:
        with self.connection() as connection:
            (found,) = Proxy(message_bus, connection, timeout=patience.seconds(5)).NameHasOwner(
                name
            )
            return bool(found)


@dataclass(frozen=True)
class Resolved:
    """A systemd-resolved that answers on STUB in the namespace ``where``."""

    where: Namespace
    bus: Bus

    def call(self, method: str, signature: str, *arguments: Any) -> tuple[Any, ...]:
        address = DBusAddress("/org/freedesktop/resolve1", _NAME, f"{_NAME}.Manager")
        message = new_method_call(address, method, signature, arguments)
        with self.bus.connection() as connection:
            return tuple(
                unwrap_msg(connection.send_and_get_reply(message, timeout=patience.seconds(5)))
            )

    def link(self, ifname: str) -> dict[str, Any]:
        """Return the properties that systemd-resolved has of an interface, by name."""
        (path,) = self.call("GetLink", "i", self.index(ifname))
        address = DBusAddress(path, _NAME, f"{_NAME}.Link")
        with self.bus.connection() as connection:
            proxy = Proxy(Properties(address), connection, timeout=patience.seconds(5))
            (found,) = proxy.get_all()
        return {name: value for name, (_, value) in found.items()}

    def index(self, ifname: str) -> int:
        with self.where.entered():
            return socket.if_nametoindex(ifname)

    def ask(self, name: str) -> str | None:
        """Return the address that the host's programs get for a name, or None if they get none."""
        with self.where.udp_socket("127.0.0.1", seconds=3.0) as sock:
            sock.sendto(bytes(DNS(rd=1, qd=DNSQR(qname=name))), (STUB, 53))
            try:
                answer = DNS(sock.recv(4096))
            except TimeoutError:
                return None
        return str(answer.an[0].rdata) if answer.ancount else None


@contextlib.contextmanager
def bus(where: Namespace, folder: Path) -> Iterator[Bus]:
    """Start a bus without any service; it ends with the namespace."""
    # systemd-resolved, which is not root, must enter this directory, too.
    with tempfile.TemporaryDirectory(prefix="fs-bus-") as public:
        Path(public).chmod(0o755)
        path = Path(public) / "socket"
        users = f"root:x:0:0::/:/bin/sh\n{_USER}:x:991:991::/:/bin/false\n"
        (folder / "passwd").write_text(users)
        (folder / "group").write_text(f"root:x:0:\n{_USER}:x:991:\n")
        (folder / "bus.conf").write_text(_BUS.format(path=path))
        where.start("sh", "-c", _START_BUS, "sh", str(folder))
        wait_until(path.exists, what="the bus listens")
        yield Bus(where, path)


@contextlib.contextmanager
def resolved(where: Namespace, folder: Path) -> Iterator[Resolved]:
    """Start a systemd-resolved and wait until it answers; it ends with the namespace."""
    executable = program("/lib/systemd/systemd-resolved")
    with bus(where, folder) as made:
        where.start(
            *("sh", "-c", _START_RESOLVED, "sh", str(folder), executable),
            env={**made.env, **libraries(), "SYSTEMD_LOG_TARGET": "console"},
        )
        wait_until(lambda: made.has(_NAME), what="resolved is on the bus")
        yield Resolved(where, made)
