# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Tunnel files: we read all that wg and wg-quick read, and refuse the rest by its line."""

from collections.abc import Callable
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network

import pytest

from fs_tunnel.config import (
    MIN_MTU_V6,
    EndpointName,
    Hook,
    InterfaceConfig,
    PeerConfig,
    TunnelConfig,
)
from fs_wire.types import PresharedKey
from tests.config.reading import (
    ALICE,
    BOB,
    CAROL,
    HEAD,
    PEER,
    PSK,
    interface,
    peer,
    public,
    read,
    refused,
)


class TestWhatWgReads:
    def test_a_whole_file(self) -> None:
        config = read(
            f"""# the tunnel of alice
[Interface]
PrivateKey = {ALICE.to_base64()}   # kept secret
Address = 10.66.0.2/32, fd66::2/128
Address = 10.67.0.2
ListenPort = 51820
FwMark = 0xca6c
DNS = 10.66.0.1, fd66::1, corp.example
DNS = lan
MTU = 1420
Table = 1234
PreUp = echo one
PostUp = echo two; echo %i
PostUp = echo three
PreDown = echo four
PostDown = echo five
SaveConfig = true

[Peer]
PublicKey = {public(BOB).to_base64()}
PresharedKey = {PSK.to_base64()}
AllowedIPs = 10.0.0.0/8, fd00::/8
AllowedIPs = 192.0.2.7
Endpoint = vpn.example.org:51820
PersistentKeepalive = 25

[Peer]
PublicKey = {public(CAROL).to_base64()}
AllowedIPs =
Endpoint = [2001:db8::1]:51821
PersistentKeepalive = off
"""
        )
        addresses = ("10.66.0.2/32", "fd66::2/128", "10.67.0.2/32")
        assert config == TunnelConfig(
            name="alice",
            source="alice.conf",
            interface=InterfaceConfig(
                private_key=ALICE,
                listen_port=51820,
                fwmark=0xCA6C,
                addresses=tuple(ip_interface(each) for each in addresses),
                dns=(ip_address("10.66.0.1"), ip_address("fd66::1")),
                dns_search=("corp.example", "lan"),
                mtu=1420,
                table=1234,
                hooks=(
                    Hook("PreUp", "echo one", 12),
                    Hook("PostUp", "echo two; echo %i", 13),
                    Hook("PostUp", "echo three", 14),
                    Hook("PreDown", "echo four", 15),
                    Hook("PostDown", "echo five", 16),
                ),
                save_config=True,
            ),
            peers=(
                PeerConfig(
                    public_key=public(BOB),
                    preshared_key=PSK,
                    allowed_ips=tuple(
                        ip_network(each) for each in ("10.0.0.0/8", "fd00::/8", "192.0.2.7/32")
                    ),
                    endpoint=EndpointName("vpn.example.org", 51820),
                    persistent_keepalive=25,
                ),
                PeerConfig(public_key=public(CAROL), endpoint=EndpointName("2001:db8::1", 51821)),
            ),
        )
        # Lines do not take part in equality, so that a rendered file equals its source.
        assert [hook.line for hook in config.interface.hooks] == [12, 13, 14, 15, 16]

    def test_the_least_that_is_a_file(self) -> None:
        config = read(HEAD)
        assert config.interface == InterfaceConfig(ALICE)
        assert config.peers == ()
        assert read(HEAD + PEER).peers == (PeerConfig(public(BOB)),)

    def test_case_and_space_do_not_matter(self) -> None:
        text = (
            f"  [INTERFACE]\r\nprivatekey={ALICE.to_base64()}\r\n\tLISTENPORT\t=\t7 \r\n[peer]\r\n"
        )
        config = read(text + f"PUBLICKEY ={public(BOB).to_base64()}")
        assert config.interface.listen_port == 7
        assert config.peers[0].public_key == public(BOB)

    def test_a_peer_may_stand_above_the_interface(self) -> None:
        assert read(PEER + HEAD).peers[0].public_key == public(BOB)

    @pytest.mark.parametrize(
        ("text", "mark"),
        [("off", 0), ("OFF", 0), ("0", 0), ("51820", 51820), ("0xFFFFFFFF", 2**32 - 1)],
    )
    def test_firewall_marks(self, text: str, mark: int) -> None:
        assert interface(f"FwMark = {text}").fwmark == mark

    @pytest.mark.parametrize(
        ("text", "table"), [("auto", "auto"), ("Off", "off"), ("51820", 51820), ("0x10", 16)]
    )
    def test_tables(self, text: str, table: int | str) -> None:
        assert interface(f"Table = {text}").table == table

    @pytest.mark.parametrize(
        ("text", "seconds"), [("off", 0), ("0", 0), ("1", 1), ("65535", 65535)]
    )
    def test_keepalives(self, text: str, seconds: int) -> None:
        assert peer(f"PersistentKeepalive = {text}").persistent_keepalive == seconds

    def test_save_config(self) -> None:
        assert interface("SaveConfig = False").save_config is False
        assert interface("saveconfig = TRUE").save_config is True

    def test_allowed_ips_lose_their_host_bits_and_stand_once(self) -> None:
        found = peer("AllowedIPs = 10.1.2.3/8,10.0.0.0/8, 0.0.0.0/0 ,::/0\nAllowedIPs = fd00::1")
        assert [str(each) for each in found.allowed_ips] == [
            *("10.0.0.0/8", "0.0.0.0/0", "::/0", "fd00::1/128")
        ]

    @pytest.mark.parametrize("value", ["10.0.0.1/24 fd00::1/64", "10.0.0.1/24,,fd00::1/64,"])
    def test_addresses_are_split_as_wg_quick_splits_them(self, value: str) -> None:
        assert interface(f"Address = {value}").addresses == (
            IPv4Interface("10.0.0.1/24"),
            IPv6Interface("fd00::1/64"),
        )
        assert interface("Address =").addresses == ()

    def test_resolvers_and_search_domains_are_told_apart(self) -> None:
        found = interface("DNS = 192.0.2.53 corp.example,fe80::1%eth0\nDNS = lan, _x.example.")
        assert list(map(str, found.dns)) == ["192.0.2.53", "fe80::1%eth0"]
        assert found.dns_search == ("corp.example", "lan", "_x.example.")

    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [
            ("vpn.example.org:1", "vpn.example.org", 1),
            ("localhost:65535", "localhost", 65535),
            ("192.0.2.1:51820", "192.0.2.1", 51820),
            ("[2001:db8::1]:51820", "2001:db8::1", 51820),
            ("[fe80::1%eth0]:51820", "fe80::1%eth0", 51820),
            ("xn--bcher-kva.example:51820", "xn--bcher-kva.example", 51820),
        ],
    )
    def test_endpoints(self, text: str, host: str, port: int) -> None:
        found = peer(f"Endpoint = {text}").endpoint
        assert found == EndpointName(host, port)
        assert str(found) == text

    def test_a_preshared_key_of_zeroes_is_none(self) -> None:
        assert peer(f"PresharedKey = {PresharedKey(bytes(32)).to_base64()}").preshared_key is None

    def test_a_hook_ends_at_its_comment(self) -> None:
        assert interface("PostUp = iptables -A x # why").hooks == (
            Hook("PostUp", "iptables -A x", 3),
        )

    @pytest.mark.parametrize("value", ["a=b", "echo '[Peer]' = x", "curl http://x/?a=b&c"])
    def test_a_hook_may_hold_anything_but_a_comment(self, value: str) -> None:
        assert interface(f"PreDown = {value}").hooks[0].command == value


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("lines", "where", "remedy"),
        [
            ("ListenPort = 65536", "3: ListenPort", "between 0 and 65535"),
            ("ListenPort = -1", "3: ListenPort", "between 0 and 65535"),
            ("ListenPort = http", "3: ListenPort", "between 0 and 65535"),
            ("ListenPort = 0x50", "3: ListenPort", "between 0 and 65535"),
            ("ListenPort =", "3: ListenPort", "between 0 and 65535"),
            ("listenport = \u0665", "3: listenport", "between 0 and 65535"),
            ("\nFwMark = 0x100000000", "4: FwMark", "between 0 and 4294967295"),
            ("FwMark = ca6c", "3: FwMark", "between 0 and 4294967295"),
            ("MTU = 575", "3: MTU", "between 576 and 65535"),
            ("MTU = 65536", "3: MTU", "between 576 and 65535"),
            ("MTU = 1279\nAddress = 10.0.0.1, fd00::1", "3: MTU", f"{MIN_MTU_V6}"),
            ("Table = main", "3: Table", "auto, off or 1 to"),
            ("Table = 0", "3: Table", "auto, off or 1 to"),
            ("Table =", "3: Table", "auto, off or 1 to"),
            ("SaveConfig = yes", "3: SaveConfig", "write true or false"),
            ("Address = 10.0.0.256", "3: Address", "write 10.66.0.2/32"),
            ("Address = 10.0.0.1/33", "3: Address", "write 10.66.0.2/32"),
            ("Address = fe80::1%$(reboot)/64", "3: Address", "write 10.66.0.2/32"),
            ("Address = host.example", "3: Address", "write 10.66.0.2/32"),
            ("DNS = 1.1.1.1, 1.1.1.256", "3: DNS", "not an address or a domain name"),
            ("DNS = 1.1.1", "3: DNS", "not an address or a domain name"),
            ("DNS = 0x7f000001", "3: DNS", "not an address or a domain name"),
            ("DNS = fe80::1%eth0;reboot", "3: DNS", "not an address or a domain name"),
            ("DNS = $(reboot).example", "3: DNS", "stray characters"),
            ("DNS = a.example;reboot", "3: DNS", "stray characters"),
            ("DNS = `reboot`", "3: DNS", "stray characters"),
            ("DNS = a..example", "3: DNS", "stray characters"),
            ("DNS = .", "3: DNS", "stray characters"),
            ("DNS = -a.example", "3: DNS", "stray characters"),
            ("DNS = " + "a" * 64, "3: DNS", "stray characters"),
            ("DNS = " + "a." * 127 + "example", "3: DNS", "stray characters"),
            ("DNS = bücher.example", "3: DNS", "stray characters"),
            ("MTU = 1400\nMTU = 1400", "4: MTU", "is in line 3 already"),
            ("Adress = 10.0.0.1", "3: Adress", "did you mean Address?"),
            ("PostUpp = x", "3: PostUpp", "did you mean PostUp?"),
            ("PublicKey = x", "3: PublicKey", "no such key in [Interface]"),
            ("Colour = red", "3: Colour", "use PrivateKey, ListenPort"),
            ("= red", "3: no such key", "use PrivateKey, ListenPort"),
            ("Address 10.0.0.1", "3: not understood", "write KEY = VALUE"),
            ("[Interface]", "3: a second [Interface]", "a file has one"),
            ("[Peers]", "3: no such section", "write [Interface] or [Peer]"),
            ("[Peer", "3: no such section", "write [Interface] or [Peer]"),
            ("[Peer] x", "3: no such section", "write [Interface] or [Peer]"),
            ("[", "3: no such section", "write [Interface] or [Peer]"),
            ("[Peer]", "3: PublicKey", "[Peer] has no PublicKey; add one"),
        ],
    )
    def test_of_an_interface(self, lines: str, where: str, remedy: str) -> None:
        with refused(f"alice.conf:{where}", remedy):
            read(HEAD + lines)

    @pytest.mark.parametrize(
        ("lines", "where", "remedy"),
        [
            ("PersistentKeepalive = 65536", "PersistentKeepalive", "between 0 and 65535"),
            ("PersistentKeepalive = on", "PersistentKeepalive", "between 0 and 65535"),
            ("AllowedIPs = 10.0.0.0/8,", "AllowedIPs", "write 10.0.0.0/8"),
            ("AllowedIPs = 10.0.0.0/255.0.0.0", "AllowedIPs", "write 10.0.0.0/8"),
            ("AllowedIPs = 10.0.0.0/33", "AllowedIPs", "write 10.0.0.0/8"),
            ("AllowedIPs = fe80::%eth0/64", "AllowedIPs", "write 10.0.0.0/8"),
            ("AllowedIPs = 10.0.0.0/8 fd00::/8", "AllowedIPs", "write 10.0.0.0/8"),
            ("Endpoint = vpn.example", "Endpoint", "write host:51820"),
            ("Endpoint = vpn.example:0", "Endpoint", "write host:51820"),
            ("Endpoint = vpn.example:65536", "Endpoint", "write host:51820"),
            ("Endpoint = vpn.example:0x50", "Endpoint", "write host:51820"),
            ("Endpoint = 51820", "Endpoint", "write host:51820"),
            ("Endpoint = :51820", "Endpoint", "write host:51820"),
            ("Endpoint = []:51820", "Endpoint", "write host:51820"),
            ("Endpoint =", "Endpoint", "write host:51820"),
            ("Endpoint = 2001:db8::1:51820", "Endpoint", "[2001:db8::1]:51820"),
            ("Endpoint = [192.0.2.1]:51820", "Endpoint", "write host:51820"),
            ("Endpoint = [vpn.example]:51820", "Endpoint", "write host:51820"),
            ("Endpoint = 192.0.2.256:51820", "Endpoint", "write host:51820"),
            ("Endpoint = $(reboot):51820", "Endpoint", "write host:51820"),
            ("Endpoint = [fe80::1%a;b]:51820", "Endpoint", "write host:51820"),
            ("Endpoint = [fe80::1%]:51820", "Endpoint", "write host:51820"),
            ("PresharedKey =", "PresharedKey", "44 characters of base64"),
            ("Address = 10.0.0.1", "Address", "no such key in [Peer]"),
            ("Endpoints = a:1", "Endpoints", "did you mean Endpoint?"),
            ("AlowedIPs = ::/0", "AlowedIPs", "did you mean AllowedIPs?"),
        ],
    )
    def test_of_a_peer(self, lines: str, where: str, remedy: str) -> None:
        with refused(f"alice.conf:5: {where}: ", remedy):
            read(HEAD + PEER + lines)

    def test_a_file_without_an_interface(self) -> None:
        for text in ("", "# nothing\n", PEER):
            with refused("alice.conf: no [Interface]", "add one with a PrivateKey"):
                read(text)

    def test_an_interface_without_a_private_key(self) -> None:
        with refused("alice.conf:2: PrivateKey", "add one"):
            read("\n[Interface]\nListenPort = 1\n")

    def test_our_own_key_as_a_peer(self) -> None:
        with refused("alice.conf:4: PublicKey", "write the other side's"):
            read(f"{HEAD}[Peer]\nPublicKey = {public(ALICE).to_base64()}\n")

    def test_a_peer_that_stands_twice(self) -> None:
        with refused("alice.conf:6: PublicKey", "merge the two"):
            read(HEAD + PEER + PEER)

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda text: text[:-1],
            lambda text: text[:-4],
            lambda text: text + text,
            lambda text: text[:10] + "!" + text[11:],
            lambda text: text.replace("=", ""),
            lambda text: "",
        ],
    )
    def test_a_key_that_is_not_whole(self, spoil: Callable[[str], str]) -> None:
        broken = spoil(CAROL.to_base64())
        with refused("alice.conf:2: PrivateKey", "copy it whole"):
            read(f"[Interface]\nPrivateKey = {broken}\n")
        with refused("alice.conf:4: PublicKey", "copy it whole"):
            read(f"{HEAD}[Peer]\nPublicKey = {broken}\n")
        with refused("alice.conf:5: PresharedKey", "copy it whole"):
            read(f"{HEAD}{PEER}PresharedKey = {broken}\n")

    def test_a_secret_in_the_wrong_place_is_not_repeated(self) -> None:
        secret = CAROL.to_base64()
        for text in (
            secret,
            f"{secret}\n{HEAD}",
            f"{HEAD}{secret}",
            f"{HEAD}PrivateKey {secret}",
            f"[{secret}]",
            f"{HEAD}{secret} = {secret}",
            f"[Interface]\nPrivateKey =\n{secret[:22]}\n{secret[22:]}",
            f"{HEAD}{PEER}Endpoint = {secret}",
            f"{HEAD}DNS = {secret}",
            f"{HEAD}Table = {secret}",
        ):
            with refused("alice.conf:", ""):
                read(text)

    def test_a_key_above_all_sections(self) -> None:
        with refused("alice.conf:1: MTU", "put [Interface] above it"):
            read(f"MTU = 1420\n{HEAD}")

    def test_a_nul_byte_and_a_byte_order_mark(self) -> None:
        with refused("alice.conf: ", "NUL"):
            read(HEAD + "PostUp = echo \0")
        with refused("alice.conf:1: ", "without one"):
            read("\ufeff" + HEAD)
