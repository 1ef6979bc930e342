# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Tunnel files on the disk, and files that a generator writes."""

import os
import re
import subprocess
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fs_tunnel.config import (
    HOOK_KINDS,
    MAX_FILE_BYTES,
    MIN_MTU_V6,
    EndpointName,
    Hook,
    InterfaceConfig,
    PeerConfig,
    TunnelConfig,
    check_name,
    load,
    permission_warning,
    render,
)
from fs_wire.errors import ConfigError
from fs_wire.types import KEY_LEN, PresharedKey, PrivateKey, PublicKey, parse_network
from tests.config.reading import (
    ALICE,
    BOB,
    HEAD,
    PEER,
    PSK,
    public,
    read,
    refused,
)
from tools.testing import patience


class TestFiles:
    def write(self, path: Path, content: bytes) -> Path:
        path.touch(mode=0o600)
        path.write_bytes(content)
        return path

    def test_the_name_is_the_files(self, tmp_path: Path) -> None:
        path = self.write(tmp_path / "wg-alice_1.conf", HEAD.encode())
        config = load(path)
        assert (config.name, config.source) == ("wg-alice_1", str(path))

    @pytest.mark.parametrize(
        "name", ["", "a" * 16, "a b", "a/b", "a;b", "é", "a\n", ".", "..", "$(reboot)"]
    )
    def test_what_the_kernel_would_not_call_an_interface(self, name: str) -> None:
        with refused("", "1 to 15 of a-z A-Z 0-9 _ = + . -"):
            check_name(name)

    def test_a_name_is_refused_before_the_file_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "a name with spaces.conf"
        with refused(f"{path}: ", "is no interface name"):
            load(path)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with refused(f"{tmp_path}/bob.conf: ", "No such file or directory; check the path"):
            load(tmp_path / "bob.conf")
        with refused(f"{tmp_path}/carol: ", "Is a directory"):
            (tmp_path / "carol").mkdir()
            load(tmp_path / "carol")

    def test_a_file_that_is_no_text(self, tmp_path: Path) -> None:
        path = self.write(tmp_path / "bob.conf", HEAD.encode() + b"# \xff\n")
        with refused(f"{path}: ", "not UTF-8"):
            load(path)

    def test_a_file_without_end(self, tmp_path: Path) -> None:
        path = self.write(tmp_path / "bob.conf", b"")
        os.truncate(path, MAX_FILE_BYTES + 1)
        with refused(f"{path}: ", "larger than 16 MiB"):
            load(path)

    def test_ten_thousand_peers_fit(self, tmp_path: Path) -> None:
        peers = tuple(
            PeerConfig(
                PublicKey(os.urandom(KEY_LEN)),
                PSK,
                (parse_network(f"10.{n >> 8}.{n & 255}.0/24"), parse_network(f"fd00:{n:x}::/32")),
                EndpointName("a-provider-of-a-long-name.region.example.org", 51820),
                25,
            )
            for n in range(10_000)
        )
        config = TunnelConfig("bob", str(tmp_path / "bob.conf"), InterfaceConfig(ALICE), peers)
        path = self.write(tmp_path / "bob.conf", render(config).encode())
        assert path.stat().st_size < MAX_FILE_BYTES / 4
        assert load(path) == config

    @pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
    def test_a_file_that_others_read_is_told(self, tmp_path: Path, mode: int) -> None:
        path = self.write(tmp_path / "bob.conf", b"")
        path.chmod(mode)
        assert permission_warning(path) == f"{path} can be read by other users; chmod 600 {path}"

    def test_a_file_that_only_its_owner_reads_is_fine(self, tmp_path: Path) -> None:
        assert permission_warning(self.write(tmp_path / "bob.conf", b"")) is None
        assert permission_warning(tmp_path / "nothing.conf") is None


# Files that a generator writes.

keys = st.binary(min_size=KEY_LEN, max_size=KEY_LEN)
labels = st.from_regex(r"[a-z_]([a-z0-9_-]{0,20}[a-z0-9])?", fullmatch=True)
hosts = st.lists(labels, min_size=1, max_size=4).map(".".join)
zones = st.from_regex(r"[a-zA-Z0-9_=+.-]{1,15}", fullmatch=True)
link_local = st.builds("fe80::1%{}".format, zones)
addresses = st.ip_addresses()
networks = st.builds(
    lambda ip, length: parse_network(f"{ip}/{length % (ip.max_prefixlen + 1)}"),
    addresses,
    st.integers(0, 128),
)
interfaces = st.builds(
    lambda ip, length: ip_interface((ip, length % (ip.max_prefixlen + 1))),
    addresses,
    st.integers(0, 128),
)
ports = st.integers(1, 65535)
commands = st.text(
    st.characters(exclude_characters="\0\n#", exclude_categories=["Cs"]), max_size=40
).map(str.strip)
interface_configs = st.builds(
    InterfaceConfig,
    private_key=keys.map(PrivateKey),
    listen_port=st.none() | st.integers(0, 65535),
    fwmark=st.none() | st.integers(0, 2**32 - 1),
    addresses=st.lists(interfaces, max_size=4).map(tuple),
    dns=st.lists(addresses | link_local.map(ip_address), max_size=3).map(tuple),
    dns_search=st.lists(hosts, max_size=3).map(tuple),
    mtu=st.none() | st.integers(MIN_MTU_V6, 65535),
    table=st.sampled_from(["auto", "off"]) | st.integers(1, 2**32 - 1),
    hooks=st.lists(
        st.builds(Hook, st.sampled_from(HOOK_KINDS), commands, st.just(0)), max_size=4
    ).map(tuple),
    save_config=st.booleans(),
)
peer_configs = st.builds(
    PeerConfig,
    public_key=keys.map(PublicKey),
    preshared_key=st.none() | keys.filter(any).map(PresharedKey),
    allowed_ips=st.lists(networks, unique=True, max_size=5).map(tuple),
    endpoint=st.none() | st.builds(EndpointName, hosts | addresses.map(str) | link_local, ports),
    persistent_keepalive=st.integers(0, 65535),
)
tunnel_configs = st.builds(
    TunnelConfig,
    name=st.just("alice"),
    source=st.just("alice.conf"),
    interface=interface_configs,
    peers=st.lists(peer_configs, unique_by=lambda each: each.public_key, max_size=4).map(tuple),
).filter(
    lambda config: (
        public(config.interface.private_key) not in {each.public_key for each in config.peers}
    )
)


@given(tunnel_configs)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_what_is_rendered_is_read_back(config: TunnelConfig) -> None:
    assert read(render(config)) == config


WORDS = [
    *("[Interface]", "[Peer]", "[", "]", "=", "#", ",", "\n", "\r", "\0", "\ufeff", " ", "%", "/"),
    *("PrivateKey", "PublicKey", "PresharedKey", "AllowedIPs", "Endpoint", "PersistentKeepalive"),
    *("ListenPort", "FwMark", "Address", "DNS", "MTU", "Table", "SaveConfig", *HOOK_KINDS),
    *("off", "auto", "0x", "51820", "10.0.0.1/8", "fe80::1%eth0", "vpn.example", "[::1]:1"),
    *(ALICE.to_base64(), public(BOB).to_base64()),
]
messes = st.text() | st.lists(st.sampled_from(WORDS) | st.text(max_size=3)).map("".join)


@given(messes)
@example("[Interface]\nPrivateKey=\n\x85\n")
def test_no_text_raises_anything_but_a_config_error(text: str) -> None:
    for whole in (text, HEAD + text, HEAD + PEER + text):
        try:
            config = read(whole)
        except ConfigError as error:
            message = str(error)
        else:
            message = "alice.conf:"
            assert read(render(config)) == config
        assert message.startswith("alice.conf:")
        assert ALICE.to_base64() not in message


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_raise_anything_but_a_config_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bob.conf"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        load(path)


# A judge from outside.


@pytest.mark.netns  # wg-quick wants root, whatever it does
def test_wg_quick_strips_our_file_to_what_wg_needs(tmp_path: Path) -> None:
    config = read(
        f"{HEAD}Address = 10.66.0.2/32\nDNS = 10.66.0.1\nMTU = 1420\nTable = off\n"
        f"PostUp = true\nFwMark = 0x10\n{PEER}AllowedIPs = 10.0.0.0/8\nEndpoint = 192.0.2.1:1\n"
    )
    path = tmp_path / "alice.conf"
    path.touch(mode=0o600)
    path.write_text(render(config))
    done = subprocess.run(
        ["wg-quick", "strip", path],
        capture_output=True,
        text=True,
        check=True,
        timeout=patience.seconds(30),
    )
    keys_left = re.findall(r"^(\w+) =", done.stdout, re.MULTILINE)
    assert keys_left == ["PrivateKey", "FwMark", "PublicKey", "AllowedIPs", "Endpoint"]
    assert read(done.stdout).peers == config.peers
