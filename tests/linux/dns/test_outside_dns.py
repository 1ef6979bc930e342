# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The resolvers that a program outside of the tunnel uses."""

from ipaddress import ip_address
from pathlib import Path

import pytest

from fs_tunnel.linux.dns.host_resolver import ResolvConf
from fs_tunnel.linux.dns.outside_dns import outside_resolvers
from fs_wire.errors import UsageError

INSIDE = (ip_address("10.66.0.1"),)
OURS = "nameserver 10.66.0.1\n"


def resolvers(root: Path, before: str | None = None) -> list[str]:
    in_force = [] if before is None else [ResolvConf(OURS, before)]
    return [str(each) for each in outside_resolvers(in_force, INSIDE, root)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("etc", "run/systemd/resolve", "run/resolvconf/interface"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/resolv.conf").write_text(OURS)
    return tmp_path


def test_what_stood_in_the_file_before_the_tunnel(root: Path) -> None:
    said = "file:# mine\nsearch a.org\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver\n"
    assert resolvers(root, said) == ["192.0.2.53", "fe80::1%eth0"]


@pytest.mark.parametrize("link", ["../run/there", "/run/there"])
def test_where_the_file_was_a_link(root: Path, link: str) -> None:
    (root / "run/there").write_text("nameserver 192.0.2.54\n")
    assert resolvers(root, f"link:{link}") == ["192.0.2.54"]


def test_a_daemon_that_asks_through_the_tunnel_is_passed_over(root: Path) -> None:
    stub = "file:nameserver 127.0.0.53\n"
    with pytest.raises(UsageError, match="--dns"):
        resolvers(root, stub)
    (root / "run/systemd/resolve/resolv.conf").write_text(f"{OURS}nameserver 2001:db8::53\n")
    assert resolvers(root, stub) == ["2001:db8::53"]
    (root / "run/resolvconf/interface/eth0.dhcp").write_text("nameserver 192.0.2.55\n")
    assert resolvers(root, stub) == ["192.0.2.55"]


def test_the_file_itself_where_the_tunnel_has_no_resolver(root: Path) -> None:
    (root / "etc/resolv.conf").write_text("nameserver nonsense\nnameserver 192.0.2.56\n")
    assert resolvers(root) == ["192.0.2.56"]
