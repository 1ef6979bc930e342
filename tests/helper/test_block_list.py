# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Lists of denied names, and the configuration that denies them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_tunnel.helper import block_list
from fs_tunnel.helper.forwarder import servers
from fs_tunnel.helper.resolver import dnsmasq_config
from fs_tunnel.helper.settings import ResolverSettings
from fs_tunnel.helper.supervisor import FIRST_DELAY, LONGEST_DELAY, delay_after
from fs_wire.errors import ConfigError

HOSTS = """# a list
127.0.0.1 localhost
::1 ip6-localhost  ip6-loopback
0.0.0.0 0.0.0.0
0.0.0.0 Ads.example.com tracker.example.net. # both
fe80::1%lo0 localhost
"""


def test_both_forms_are_read() -> None:
    expected = {"ads.example.com", "tracker.example.net"}
    assert block_list.parse(HOSTS, source="hosts") == expected
    lines = "ads.example.com\r\n\n  tracker.example.net. # why\n"
    assert block_list.parse(lines, source="names") == expected


@pytest.mark.parametrize(
    "line",
    [
        "http://ads.example.com/",
        "ads.example.com tracker.example.com",
        "*.example.com",
        "||ads.example.com^",
        "192.0.2.1",
        "-ads.example.com",
        "ads..example.com",
        "a" * 64,
        ".".join(["a" * 60] * 5),
        "x/\nserver=192.0.2.1",
        "0.0.0.0 x#\nlocal=//",
    ],
)
def test_what_is_no_name_is_refused_by_line(line: str) -> None:
    with pytest.raises(ConfigError, match=r"^names:[23]: "):
        block_list.parse(f"fine.example\n{line}\n", source="names")


@given(st.text())
def test_nothing_gets_into_the_configuration_but_names(text: str) -> None:
    try:
        names = block_list.parse(text, source="names")
    except ConfigError:
        return
    config = dnsmasq_config(ResolverSettings("wg0", ("10.66.0.1",)), names)
    lines = [each for each in config.split("\n") if each.startswith("local=")]
    assert len(lines) == len(names)
    assert config.isascii()
    assert all(each.count("/") == 2 for each in lines)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        block_list.load(tmp_path / "none")
    path = tmp_path / "names"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not a DNS name"):
        block_list.load(path)


def test_dnsmasq_listens_on_the_tunnel_alone() -> None:
    config = dnsmasq_config(ResolverSettings("wg0", ("10.66.0.1", "fd66::1")), {"ads.example"})
    lines = config.splitlines()
    listening = [each for each in lines if each.startswith(("listen", "interface"))]
    assert listening == ["listen-address=10.66.0.1", "listen-address=fd66::1", "interface=wg0"]
    assert {"bind-interfaces", "no-hosts", "local=/ads.example/"} <= set(lines)


def test_a_resolver_that_fails_is_started_later_each_time() -> None:
    delays = [FIRST_DELAY]
    for _ in range(10):
        delays.append(delay_after(0.1, delays[-1]))
    assert delays == sorted(delays)
    assert delays[-1] == LONGEST_DELAY
    assert delay_after(60.0, LONGEST_DELAY) == FIRST_DELAY


def test_servers_are_those_of_the_host_but_ourselves() -> None:
    text = """nameserver 10.66.0.1
nameserver 192.0.2.1 # x
search x
nameserver x
nameserver 2001:db8::1
nameserver 192.0.2.2
nameserver 192.0.2.3
"""
    assert servers(text, but=["10.66.0.1"]) == ["192.0.2.1", "2001:db8::1", "192.0.2.2"]
