# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Debian's ``wg`` drives the engine: each verb, each setting and each refusal."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.exchange import ALICE_INSIDE, BOB_INSIDE
from tests.netns.peers import (
    WIREGUARD_GO,
    Engine,
    KeyPair,
    Peer,
    generate_psk,
    introduce,
    running,
)
from tests.netns.topology import CommandFailed, Topology, pair
from tests.netns.waiting import wait_until

pytestmark = pytest.mark.netns


@pytest.fixture
def peer(engine: Engine) -> Iterator[Peer]:
    with Topology() as topology, running(engine, topology.namespace("alice"), ALICE_INSIDE) as made:
        yield made


def test_show_shows_every_setting(peer: Peer) -> None:
    bob, psk = KeyPair.generate(), generate_psk()
    peer.add_peer(
        bob.public,
        allowed_ips=["10.66.0.2/32", "fd66::2/128", "10.77.0.0/16"],
        endpoint=("192.0.2.2", 7),
        psk=psk,
        keepalive=25,
    )
    peer.wg("set", "fwmark", "0xca6c")
    device, row = (line.split("\t") for line in peer.wg("show", "dump").splitlines())
    assert device == [peer.keys.private, peer.keys.public, "51820", "0xca6c"]
    assert row[:3] == [bob.public, psk, "192.0.2.2:7"]
    assert set(row[3].split(",")) == {"10.66.0.2/32", "fd66::2/128", "10.77.0.0/16"}
    assert row[4:] == ["0", "0", "0", "25"]

    shown = peer.wg("show")
    for fact in ("listening port: 51820", "fwmark: 0xca6c", "every 25 seconds", bob.public):
        assert fact in shown
    assert peer.keys.private not in shown


def test_settings_are_changed_and_removed_one_by_one(peer: Peer) -> None:
    bob = KeyPair.generate().public
    peer.add_peer(bob, allowed_ips=["10.66.0.2/32"], keepalive=25, psk=generate_psk())
    peer.wg("set", "fwmark", "off")
    assert peer.wg("show", "fwmark").strip() == "off"
    peer.wg("set", "peer", bob, "persistent-keepalive", "off")
    assert peer.wg("show", "persistent-keepalive").split() == [bob, "off"]
    peer.wg("set", "peer", bob, "preshared-key", "/dev/null")
    assert peer.wg("show", "preshared-keys").split() == [bob, "(none)"]
    peer.wg("set", "peer", bob, "allowed-ips", "")
    assert peer.wg("show", "allowed-ips").split() == [bob, "(none)"]
    peer.wg("set", "peer", bob, "endpoint", "[2001:db8::2]:65535")
    assert peer.endpoint(bob) == "[2001:db8::2]:65535"
    peer.wg("set", "private-key", "/dev/null")
    assert peer.wg("show", "public-key").strip() == "(none)"
    peer.remove_peer(bob)
    peer.remove_peer(bob)  # removing a peer twice is no error
    assert peer.peers() == set()


def test_allowed_ips_are_masked_and_belong_to_the_last_peer_that_got_them(peer: Peer) -> None:
    bob, eve = KeyPair.generate().public, KeyPair.generate().public
    peer.add_peer(bob, allowed_ips=["10.1.2.3/8", "fd66:1::1/32", "0.0.0.0/0", "::/0"])
    assert allowed_ips(peer) == {
        bob: {"10.0.0.0/8", "fd66:1::/32", "0.0.0.0/0", "::/0"},
    }
    peer.add_peer(eve, allowed_ips=["10.0.0.0/8", "::/0"])
    assert allowed_ips(peer) == {
        bob: {"fd66:1::/32", "0.0.0.0/0"},
        eve: {"10.0.0.0/8", "::/0"},
    }


def test_setconf_restores_what_showconf_wrote(peer: Peer, tmp_path: Path) -> None:
    bob, eve = KeyPair.generate().public, KeyPair.generate().public
    peer.add_peer(
        bob, allowed_ips=["10.66.0.2/32", "fd66::2/128"], endpoint=("192.0.2.2", 7), keepalive=9
    )
    peer.add_peer(eve, allowed_ips=["10.66.0.3/32"], psk=generate_psk())
    peer.wg("set", "fwmark", "7")
    before, dump = peer.wg("showconf"), peer.wg("show", "dump")
    saved = secret_file(tmp_path / "saved.conf", before)

    empty = secret_file(tmp_path / "empty.conf", "[Interface]\n")
    peer.wg("setconf", empty)
    assert peer.peers() == set()
    assert peer.wg("show", "private-key").strip() == "(none)"

    peer.wg("setconf", saved)
    assert sorted(peer.wg("showconf").splitlines()) == sorted(before.splitlines())
    assert sorted(peer.wg("show", "dump").splitlines()) == sorted(dump.splitlines())


def test_addconf_adds_a_peer_and_keeps_the_others(peer: Peer, tmp_path: Path) -> None:
    bob, eve = KeyPair.generate().public, KeyPair.generate().public
    peer.add_peer(bob, allowed_ips=["10.66.0.2/32"])
    addition = f"[Peer]\nPublicKey = {eve}\nAllowedIPs = 10.66.0.3/32\n"
    peer.wg("addconf", secret_file(tmp_path / "more.conf", addition))
    assert peer.peers() == {bob, eve}


def test_syncconf_keeps_the_sessions_of_unchanged_peers(engine: Engine, tmp_path: Path) -> None:
    with (
        pair() as net,
        running(engine, net.alice, ALICE_INSIDE) as alice,
        running(WIREGUARD_GO, net.bob, BOB_INSIDE) as bob,
    ):
        introduce(alice, bob, None, (net.bob_v4, 51820))
        alice.ping(bob.v4)
        before = alice.transfer(bob.keys.public)
        carol, dave = KeyPair.generate().public, KeyPair.generate().public
        alice.add_peer(carol, allowed_ips=["10.66.0.3/32"])
        wanted = alice.wg("showconf").replace(carol, dave)
        alice.wg("syncconf", secret_file(tmp_path / "sync.conf", wanted))
        assert alice.peers() == {bob.keys.public, dave}
        assert alice.transfer(bob.keys.public) == before
        bob.ping(alice.v4)  # bob knows alice's address only from the session


def test_a_large_configuration_is_set_and_shown_completely(peer: Peer, tmp_path: Path) -> None:
    keys = [KeyPair.generate().public for _ in range(40)]
    lines = []
    for number, key in enumerate(keys):
        networks = ", ".join(
            f"{number}.{each}.0.0/16, {number:x}::{each:x}/128" for each in range(250)
        )
        lines += ["[Peer]", f"PublicKey = {key}", f"AllowedIPs = {networks}"]
    peer.wg("setconf", secret_file(tmp_path / "large.conf", "\n".join(lines) + "\n"))
    found = allowed_ips(peer)
    assert found.keys() == set(keys)
    assert all(len(networks) == 500 for networks in found.values())


def test_a_change_of_the_private_key_ends_sessions(engine: Engine) -> None:
    with (
        pair() as net,
        running(engine, net.alice, ALICE_INSIDE) as alice,
        running(WIREGUARD_GO, net.bob, BOB_INSIDE) as bob,
    ):
        introduce(alice, bob, (net.alice_v4, 51820), (net.bob_v4, 51820))
        alice.ping(bob.v4)
        changed = KeyPair.generate()
        alice.wg("set", "private-key", "/dev/stdin", stdin=changed.private)
        with pytest.raises(CommandFailed):
            alice.namespace.run("ping", "-n", "-c", "1", "-w", "1", bob.v4)
        bob.add_peer(changed.public, allowed_ips=[f"{alice.v4}/32"])
        alice.ping(bob.v4)
        assert bob.latest_handshake(changed.public) > 0


def test_a_peer_is_removed_if_its_key_becomes_our_own(peer: Peer) -> None:
    other = KeyPair.generate()
    peer.add_peer(other.public, allowed_ips=["10.66.0.2/32"])
    peer.wg("set", "private-key", "/dev/stdin", stdin=other.private)
    assert peer.peers() == set()


def test_datagrams_leave_with_the_fwmark(our_engine: Engine) -> None:
    with (
        pair() as net,
        running(our_engine, net.alice, ALICE_INSIDE) as alice,
        running(WIREGUARD_GO, net.bob, BOB_INSIDE) as bob,
    ):
        introduce(alice, bob, None, (net.bob_v4, 51820))
        alice.wg("set", "fwmark", "51820")
        net.alice.run(
            *("nft", "-f", "-"),
            stdin="table inet t { chain o { type filter hook output priority 0; "
            'oifname "wire" meta mark 51820 counter; }; }',
        )
        alice.ping(bob.v4)
        counted = net.alice.run("nft", "list", "chain", "inet", "t", "o")
        assert "packets 0" not in counted


@pytest.mark.parametrize(
    "request_lines",
    [
        "set=1\nbogus=1",
        "set=1\nprivate_key=00",
        "set=1\nlisten_port=65536",
        "set=1\nlisten_port=-1",
        "set=1\nlisten_port=+7",
        "set=1\nfwmark=x",
        "set=1\nallowed_ip=10.0.0.0/8",
        f"set=1\npublic_key={'ab' * 31}",
        f"set=1\npublic_key={'ab' * 32}\nallowed_ip=10.0.0.0/33",
        f"set=1\npublic_key={'ab' * 32}\nallowed_ip=nonsense",
        f"set=1\npublic_key={'ab' * 32}\nendpoint=example.org:7",
        f"set=1\npublic_key={'ab' * 32}\npersistent_keepalive_interval=65536",
        f"set=1\npublic_key={'ab' * 32}\nremove=yes",
        "nonsense=1",
        "get=2",
    ],
)
def test_a_bad_request_is_refused_with_an_errno(peer: Peer, request_lines: str) -> None:
    before = peer.wg("showconf")
    reply = peer.uapi_request(request_lines + "\n\n")
    if peer.engine.is_ours:
        number = reply.rstrip("\n").removeprefix("errno=")
        assert int(number) < 0, "wg expects negative numbers"
    else:
        assert reply.strip() not in ("errno=0", "errno=") or not reply
    assert peer.alive()
    if peer.engine.is_ours:
        # A refused request changes nothing.
        assert peer.wg("showconf") == before


def test_latest_handshake_is_recent(engine: Engine) -> None:
    with (
        pair() as net,
        running(engine, net.alice, ALICE_INSIDE) as alice,
        running(WIREGUARD_GO, net.bob, BOB_INSIDE) as bob,
    ):
        introduce(alice, bob, None, (net.bob_v4, 51820))
        alice.ping(bob.v4)
        wait_until(
            lambda: abs(alice.latest_handshake(bob.keys.public) - time.time()) <= 5,
            what="a handshake of these seconds",
        )
        assert "latest handshake:" in alice.wg("show")
        assert " received, " in alice.wg("show")


def allowed_ips(peer: Peer) -> dict[str, set[str]]:
    rows = (line.split("\t") for line in peer.wg("show", "allowed-ips").splitlines())
    return {key: set(networks.split()) for key, networks in rows}


def secret_file(path: Path, text: str) -> str:
    path.touch(mode=0o600)
    path.write_text(text)
    return str(path)
