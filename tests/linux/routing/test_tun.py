# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Open a TUN: its properties, and the errors if that fails."""

import errno
import os
from collections.abc import Iterator

import pytest
import pytun

from fs_tunnel.linux.routing.tun import open_tun
from fs_wire.errors import (
    FlowShieldError,
    PrivilegeError,
    SystemChangeError,
    UsageError,
)
from tests.netns.topology import Namespace, Topology, unique_name


@pytest.fixture
def host() -> Iterator[Namespace]:
    with Topology() as topology, (made := topology.namespace("host")).entered():
        yield made


@pytest.mark.netns
def test_it_lives_as_long_as_it_is_open(host: Namespace) -> None:
    name = unique_name("tun")
    made = open_tun(name)
    assert made.name == name
    assert host.has_link(name)
    assert "tun" in host.ip("-d", "link", "show", name)
    made.close()
    assert not host.has_link(name)


@pytest.mark.netns
def test_packets_have_no_header_and_reading_does_not_wait(host: Namespace) -> None:
    made = open_tun(unique_name("tun"))
    host.ip("link", "set", made.name, "up")
    host.ip("address", "add", "10.9.0.1/24", "dev", made.name)
    with host.udp_socket("10.9.0.1") as sender:
        sender.sendto(b"hello", ("10.9.0.2", 9))
        packets = []
        with pytest.raises(BlockingIOError):
            while True:
                packets.append(os.read(made.fileno(), 65535))
    assert any(each[0] == 0x45 and each.endswith(b"hello") for each in packets)
    assert not os.get_inheritable(made.fileno())
    made.close()


@pytest.mark.netns
def test_its_mtu_can_be_set_and_outlives_a_move(host: Namespace) -> None:
    made = open_tun(unique_name("tun"))
    made.mtu = 1280
    assert made.mtu == 1280
    host.ip("link", "set", made.name, "mtu", "1400")
    assert made.mtu == 1400
    with Topology() as topology:
        host.ip("link", "set", made.name, "netns", topology.namespace("away").name)
        assert made.mtu == 1400
    made.close()


@pytest.mark.netns
def test_flags_are_passed_through(host: Namespace) -> None:
    made = open_tun(unique_name("tun"), extra_flags=pytun.IFF_VNET_HDR | pytun.IFF_MULTI_QUEUE)
    shown = host.ip("-d", "link", "show", made.name)
    assert "vnet_hdr on" in shown
    assert "multi_queue" in shown
    made.close()


@pytest.mark.netns
def test_a_name_in_use_is_said_so(host: Namespace) -> None:
    name = unique_name("tun")
    made = open_tun(name)
    with pytest.raises(SystemChangeError, match=f"{name} cannot be opened: .*another program"):
        open_tun(name)
    made.close()
    host.ip("link", "add", name, "type", "bridge")
    with pytest.raises(SystemChangeError, match=f"{name} cannot be opened: .*choose another"):
        open_tun(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a b", "0123456789abcdef", "tun\n", "%d", "é", "a\0b", "-x/../y"]
)
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="1 to 15"):
        open_tun(name)


@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (errno.ENOENT, SystemChangeError, r"modprobe tun.*--device /dev/net/tun"),
        (errno.ENODEV, SystemChangeError, "modprobe tun"),
        (errno.ENXIO, SystemChangeError, "modprobe tun"),
        (errno.EPERM, PrivilegeError, r"CAP_NET_ADMIN.*root"),
        (errno.EACCES, PrivilegeError, r"CAP_NET_ADMIN.*root"),
        (errno.EBUSY, SystemChangeError, "another name"),
        (errno.EINVAL, SystemChangeError, "another kind"),
        (errno.EMFILE, SystemChangeError, "Too many open files"),
    ],
)
def test_every_refusal_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: type[FlowShieldError], said: str
) -> None:
    def refuse(*_: object) -> None:
        raise pytun.Error(number, os.strerror(number))

    monkeypatch.setattr(pytun, "TunTapDevice", refuse)
    with pytest.raises(kind, match=said) as caught:
        open_tun("wg0")
    assert "\n" not in str(caught.value)
