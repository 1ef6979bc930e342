# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The UAPI's words: what is written is read, what is not understood is refused; the client."""

import errno
import os
import socket
from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_tunnel.proto.crypto import public_key
from fs_wire.errors import ControlError
from fs_wire.types import (
    KEY_LEN,
    Endpoint,
    IPNetwork,
    PresharedKey,
    PrivateKey,
    PublicKey,
)
from fs_wire.uapi import (
    AllowedIPChange,
    DeviceStatus,
    DeviceUpdate,
    PeerStatus,
    PeerUpdate,
    UapiError,
    parse_get,
    parse_set_untrusted,
    render_get,
    render_set,
)

ALICE, BOB, CAROL = (PrivateKey(os.urandom(KEY_LEN)) for _ in range(3))
PSK = PresharedKey(os.urandom(KEY_LEN))


def public(key: PrivateKey) -> PublicKey:
    return PublicKey(public_key(key.raw))


PEER = f"public_key={public(BOB).to_hex()}\n"


# Strategies: everything the UAPI can say.

keys = st.binary(min_size=KEY_LEN, max_size=KEY_LEN)
secrets = keys.filter(any)  # all zeroes mean that there is none
ports, u32s, counters = (st.integers(0, 2**bits - 1) for bits in (16, 32, 63))
networks: st.SearchStrategy[IPNetwork] = st.one_of(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(
        lambda pair: IPv4Network(pair, strict=False)
    ),
    st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128)).map(
        lambda pair: IPv6Network(pair, strict=False)
    ),
)
endpoints = st.builds(Endpoint, st.ip_addresses(v=4).map(str), st.integers(1, 65535)) | st.builds(
    Endpoint, st.ip_addresses(v=6).map(str), st.integers(1, 65535), u32s
)
peer_updates = st.builds(
    PeerUpdate,
    public_key=st.builds(PublicKey, keys),
    remove=st.booleans(),
    update_only=st.booleans(),
    preshared_key=st.none() | st.builds(PresharedKey, keys),
    endpoint=st.none() | endpoints,
    persistent_keepalive=st.none() | ports,
    replace_allowed_ips=st.booleans(),
    allowed_ips=st.lists(st.builds(AllowedIPChange, networks, st.booleans())).map(tuple),
)
device_updates = st.builds(
    DeviceUpdate,
    private_key=st.none() | st.builds(PrivateKey, secrets),
    listen_port=st.none() | ports,
    fwmark=st.none() | u32s,
    replace_peers=st.booleans(),
    peers=st.lists(peer_updates, max_size=5).map(tuple),
) | st.just(DeviceUpdate(remove_private_key=True))
statuses = st.builds(
    DeviceStatus,
    private_key=st.none() | st.builds(PrivateKey, secrets),
    listen_port=ports,
    fwmark=u32s,
    peers=st.lists(
        st.builds(
            PeerStatus,
            public_key=st.builds(PublicKey, keys),
            preshared_key=st.none() | st.builds(PresharedKey, secrets),
            endpoint=st.none() | endpoints,
            last_handshake_ns=counters,
            tx_bytes=counters,
            rx_bytes=counters,
            persistent_keepalive=ports,
            allowed_ips=st.lists(networks).map(tuple),
        ),
        max_size=5,
    ).map(tuple),
)


class TestTheCodec:
    @given(device_updates)
    def test_an_update_is_read_as_it_was_meant(self, update: DeviceUpdate) -> None:
        assert parse_set_untrusted(render_set(update)) == update

    @given(statuses)
    def test_a_status_is_read_as_it_was_meant(self, status: DeviceStatus) -> None:
        assert parse_get(render_get(status)) == status

    def test_an_update_in_the_words_of_the_specification(self) -> None:
        """The example of https://www.wireguard.com/xplatform/, with addresses for documents."""
        one, two, three = (key.to_hex() for key in (public(ALICE), public(BOB), public(CAROL)))
        body = f"""private_key={CAROL.to_hex()}
fwmark=0
listen_port=12912
replace_peers=true
public_key={one}
preshared_key={PSK.to_hex()}
replace_allowed_ips=true
allowed_ip=192.168.4.4/32
endpoint=[2001:db8:dead::1]:51820
public_key={two}
replace_allowed_ips=true
allowed_ip=192.168.4.6/32
persistent_keepalive_interval=111
endpoint=192.0.2.3:3233
public_key={three}
remove=true
"""
        assert parse_set_untrusted(body) == DeviceUpdate(
            private_key=CAROL,
            fwmark=0,
            listen_port=12912,
            replace_peers=True,
            peers=(
                PeerUpdate(
                    public_key=public(ALICE),
                    preshared_key=PSK,
                    replace_allowed_ips=True,
                    allowed_ips=(AllowedIPChange(ip_network("192.168.4.4/32")),),
                    endpoint=Endpoint("2001:db8:dead::1", 51820),
                ),
                PeerUpdate(
                    public_key=public(BOB),
                    replace_allowed_ips=True,
                    allowed_ips=(AllowedIPChange(ip_network("192.168.4.6/32")),),
                    persistent_keepalive=111,
                    endpoint=Endpoint("192.0.2.3", 3233),
                ),
                PeerUpdate(public_key=public(CAROL), remove=True),
            ),
        )

    def test_an_update_of_nothing(self) -> None:
        assert parse_set_untrusted("") == DeviceUpdate()
        assert render_set(DeviceUpdate()) == ""

    def test_a_key_of_zeroes_takes_the_key_away(self) -> None:
        zeroes = f"private_key={'0' * 64}\n"
        assert parse_set_untrusted(zeroes) == DeviceUpdate(remove_private_key=True)
        key = f"private_key={ALICE.to_hex()}\n"
        # As everywhere, the last one counts.
        assert parse_set_untrusted(key + zeroes) == DeviceUpdate(remove_private_key=True)
        assert parse_set_untrusted(zeroes + key) == DeviceUpdate(private_key=ALICE)

    def test_what_wg_writes_besides(self) -> None:
        body = f"fwmark=0xca6c\n{PEER}protocol_version=1\nallowed_ip=10.1.2.3/8\nallowed_ip=-::1\n"
        update = parse_set_untrusted(body)
        assert update.fwmark == 0xCA6C
        assert update.peers[0].allowed_ips == (
            AllowedIPChange(ip_network("10.0.0.0/8")),
            AllowedIPChange(ip_network("::1/128"), remove=True),
        )

    def test_a_zone_may_be_a_name(self) -> None:
        named = f"{PEER}endpoint=[fe80::1%lo]:7\n"
        endpoint = Endpoint("fe80::1", 7, socket.if_nametoindex("lo"))
        assert parse_set_untrusted(named).peers[0].endpoint == endpoint
        assert parse_get(named).peers[0].endpoint == endpoint

    def test_what_is_absent_in_an_answer(self) -> None:
        assert parse_get("") == DeviceStatus(None, 0, 0, ())
        assert parse_get(PEER).peers == (PeerStatus(public(BOB), None, None, 0, 0, 0, 0, ()),)
        shown = render_get(DeviceStatus(None, 0, 0, ()))
        assert shown == "", "wg shows (none) and off for what is not said"


BAD_SETTINGS = [
    *("bogus=1", "bogus", "=", "errno=0", "set=1", "allowed_ip=10.0.0.0/8", "LISTEN_PORT=7"),
    *("private_key=", "private_key=00", f"private_key={'0' * 65}", f"private_key={'zz' * 32}"),
    *("listen_port=", "listen_port=65536", "listen_port=-1", "listen_port=+7", "listen_port= 7"),
    *("listen_port=1_0", "listen_port=\u0665", "listen_port=7.0", f"listen_port={'1' * 5000}"),
    *("fwmark=4294967296", "fwmark=0x100000000", "fwmark=0x", "fwmark=off", "fwmark=0b1"),
    *("replace_peers=false", "replace_peers=", "replace_peers=1"),
    *(f"public_key={'ab' * 31}", f"public_key={'0x' + 'ab' * 31}", "public_key="),
]
BAD_PEER_SETTINGS = [
    *("bogus=1", "listen_port=7", f"private_key={'ab' * 32}", "remove=yes", "update_only=false"),
    *("preshared_key=00", "replace_allowed_ips=no", "endpoint=example.org:7", "endpoint=1.2.3.4"),
    *("endpoint=192.0.2.1:0", "endpoint=192.0.2.1:65536", "endpoint=2001:db8::1:7", "endpoint="),
    *("endpoint=[fe80::1%no-such]:7", "endpoint=[fe80::1%]:7", "endpoint=[fe80::1%\0]:7"),
    *("endpoint=192.0.2.1%lo:7", "endpoint=[fe80::1%lo:7"),
    *("persistent_keepalive_interval=65536", "persistent_keepalive_interval=off"),
    *("allowed_ip=", "allowed_ip=-", "allowed_ip=--10.0.0.0/8", "allowed_ip=10.0.0.0/33"),
    *("allowed_ip=10.0.0.0/255.0.0.0", "allowed_ip=10.0.0.0/0.0.0.255", "allowed_ip=fe80::%a/64"),
    *("allowed_ip=nonsense", "allowed_ip=10.0.0.0/8,10.1.0.0/16", "allowed_ip=::/129"),
]


class TestWhatIsRefused:
    @pytest.mark.parametrize("line", BAD_SETTINGS)
    def test_in_an_interface(self, line: str) -> None:
        with pytest.raises(UapiError) as caught:
            parse_set_untrusted(f"{line}\n")
        assert caught.value.errno == errno.EINVAL

    @pytest.mark.parametrize("line", BAD_PEER_SETTINGS)
    def test_in_a_peer(self, line: str) -> None:
        with pytest.raises(UapiError) as caught:
            parse_set_untrusted(f"{PEER}{line}\n")
        assert caught.value.errno == errno.EINVAL

    def test_another_version_of_the_protocol(self) -> None:
        with pytest.raises(UapiError) as caught:
            parse_set_untrusted(f"{PEER}protocol_version=2\n")
        assert caught.value.errno == errno.EPROTONOSUPPORT

    @given(st.text() | st.text(st.sampled_from("privatekeulsnwo=_0123f:/.-\n")))
    def test_any_text_is_understood_or_refused(self, body: str) -> None:
        for parse, error in ((parse_set_untrusted, UapiError), (parse_get, ControlError)):
            try:
                parse(body)
            except error:
                continue

    def test_no_message_repeats_a_key(self) -> None:
        for line in ("private_key={}0", "private_key=0{}", "preshared_key={}", "public_key={}0"):
            with pytest.raises(UapiError) as caught:
                parse_set_untrusted(line.format(ALICE.to_hex()))
            assert ALICE.to_hex()[:12] not in str(caught.value)

    @pytest.mark.parametrize(
        "answer",
        [
            *("listen_port=x", "listen_port=65536", "listen_port=-1", "listen_port= 7"),
            *("fwmark=4294967296", "private_key=00", "public_key=00", f"{PEER}endpoint=x"),
            *(f"{PEER}tx_bytes=-1", f"{PEER}rx_bytes=x", f"{PEER}last_handshake_time_sec=-1"),
            *(f"{PEER}allowed_ip=x", f"{PEER}allowed_ip=fe80::%$x/64", f"{PEER}preshared_key=1"),
            f"{PEER}persistent_keepalive_interval=65536",
        ],
    )
    def test_an_answer_that_makes_no_sense(self, answer: str) -> None:
        with pytest.raises(ControlError, match="restart the tunnel"):
            parse_get(f"{answer}\n")


class TestSize:
    def test_ten_thousand_peers_pass_both_ways(self) -> None:
        update = DeviceUpdate(
            replace_peers=True,
            peers=tuple(
                PeerUpdate(
                    PublicKey(number.to_bytes(KEY_LEN)),
                    allowed_ips=(AllowedIPChange(IPv4Network((0x0A000000 + number, 32))),),
                )
                for number in range(10_000)
            ),
        )
        text = render_set(update)
        assert len(text) < 4 << 20
        assert parse_set_untrusted(text) == update
