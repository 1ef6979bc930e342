# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The real NetworkManager rewrites resolv.conf at any time, and our own settings hold."""

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from jeepney import DBusAddress, DBusErrorResponse, new_method_call
from jeepney.wrappers import unwrap_msg

from fs_tunnel.linux.dns import host_resolver, resolved
from fs_tunnel.linux.dns.host_resolver import ResolvConf, use_resolvers
from fs_wire.types import IPAddress
from tests.netns.resolved import Bus, bus
from tests.netns.topology import Topology
from tests.netns.waiting import wait_until
from tests.unpacked import libraries, program
from tools.testing import patience

pytestmark = pytest.mark.netns

_NAME = "org.freedesktop.NetworkManager"
CONF = """\
[main]
plugins=keyfile
dns=default
rc-manager=symlink
[keyfile]
unmanaged-devices=*
[global-dns-domain-*]
servers={server}
"""
# It sees our directory as /etc, and no state of the host's.
START = """
set -e
mount --bind "$1" /etc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir -p /run/NetworkManager /var/lib/NetworkManager
exec "$2" --no-daemon
"""
SERVERS: list[IPAddress] = [ip_address("10.66.0.1")]
FIRST, SECOND = "192.0.2.53", "192.0.2.54"


class Manager:
    """It manages no interface, but has DNS servers to write down."""

    def __init__(self, system: Bus, etc: Path) -> None:
        self._bus, self._conf = system, etc / "NetworkManager" / "NetworkManager.conf"
        self.resolv_conf = etc / "resolv.conf"

    def learn(self, server: str) -> None:
        """Let it have another server, as from another network, and write the file anew."""
        self._conf.write_text(CONF.format(server=server))
        address = DBusAddress("/org/freedesktop/NetworkManager", _NAME, _NAME)
        with self._bus.connection() as connection:
            for flags in (1, 2, 4):  # its configuration, the file, all about DNS
                message = new_method_call(address, "Reload", "u", (flags,))
                unwrap_msg(connection.send_and_get_reply(message, timeout=patience.seconds(10)))

    def is_there(self) -> bool:
        """It has its name before it has its object."""
        try:
            self.learn(FIRST)
        except DBusErrorResponse:
            return False
        return True

    def has_written(self, server: str) -> bool:
        return (
            not self.resolv_conf.is_symlink()
            and self.resolv_conf.exists()
            and f"nameserver {server}\n" in self.resolv_conf.read_text()
        )


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    etc = tmp_path / "etc"
    (etc / "NetworkManager").mkdir(parents=True)
    (etc / "NetworkManager" / "NetworkManager.conf").write_text(CONF.format(server=FIRST))
    (etc / "passwd").write_text("root:x:0:0::/:/bin/sh\n")
    executable = program("/usr/sbin/NetworkManager")
    with Topology() as topology:
        where = topology.namespace("home")
        with bus(where, tmp_path) as system:
            where.start(
                *("sh", "-c", START, "sh", str(etc), executable), env={**system.env, **libraries()}
            )
            wait_until(lambda: system.has(_NAME), what="NetworkManager is on the bus")
            made = Manager(system, etc)
            monkeypatch.setattr(host_resolver, "_RESOLV_CONF", made.resolv_conf)
            monkeypatch.setattr(resolved, "is_serving", lambda: False)
            monkeypatch.setattr("shutil.which", lambda _: None)
            monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={system.path}")
            wait_until(made.is_there, what="NetworkManager listens")
            wait_until(lambda: made.has_written(FIRST), what="NetworkManager has written")
            yield made


def test_it_leaves_our_servers_alone_and_writes_what_it_learnt_at_the_end(manager: Manager) -> None:
    (change,) = use_resolvers("wg0", SERVERS, [], takes_all=True)
    change = change.prepared()
    change.do()
    manager.learn(SECOND)
    text = manager.resolv_conf.read_text()
    assert "nameserver 10.66.0.1\n" in text
    assert "192.0.2." not in text
    change.undo()
    wait_until(lambda: manager.has_written(SECOND), what="NetworkManager has written")


def test_a_plain_file_would_be_written_over(manager: Manager) -> None:
    """The control: what the link is for."""
    ResolvConf("nameserver 10.66.0.1\n").prepared().do()
    manager.learn(SECOND)
    wait_until(lambda: manager.has_written(SECOND), what="NetworkManager has written")
