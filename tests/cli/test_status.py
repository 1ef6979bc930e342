# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""status: what is up, for people and for programs, and never a secret."""

import json
import re
import time
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fs_tunnel.cli import status as status_module
from fs_tunnel.cli import tunnels as tunnels_module
from fs_tunnel.console.text import human_bytes
from fs_tunnel.linux.journal.journal import Journal
from fs_tunnel.linux.journal.state import locked
from fs_wire import control, uapi
from fs_wire.errors import ControlError, NotRunningError
from fs_wire.types import KEY_LEN, Endpoint, PresharedKey, PrivateKey, PublicKey
from fs_wire.uapi import DeviceStatus, PeerStatus
from tests.netns.topology import REPOSITORY

SECRET, PSK = PrivateKey(b"\x11" * KEY_LEN), PresharedKey(b"\x22" * KEY_LEN)
BOB, CAROL = PublicKey(b"\x33" * KEY_LEN), PublicKey(b"\x55" * KEY_LEN)
NOW_NS = 1_700_000_000_000_000_000
ALICE = DeviceStatus(
    private_key=SECRET,
    listen_port=51820,
    fwmark=7,
    peers=(
        PeerStatus(
            public_key=BOB,
            preshared_key=PSK,
            endpoint=Endpoint("2001:db8::2", 7),
            last_handshake_ns=NOW_NS - 12_500_000_000,
            tx_bytes=1536,
            rx_bytes=5 << 30,
            persistent_keepalive=25,
            allowed_ips=tuple(ip_network(f"10.66.0.{each}/32") for each in range(5)),
        ),
        PeerStatus(CAROL, None, None, 0, 0, 0, 0, ()),
    ),
)
NATIVE = {
    "form": "native",
    "aead": "ipsec-mb",
    "threads": 2,
    "tun_offload": {"tcp": True, "udp": True},
    "udp_gro": True,
    "gso_refused": 0,
}
SANDBOX = {"capabilities": ["CAP_NET_ADMIN"], "landlock": 7, "seccomp": True}
LIMITS = {
    "rx_rate": 1 << 20,
    "tx_rate": 0,
    "credit": 8 << 20,
    "credit_low": 1,
    "exempt": "10.66.0.1:443",
}
COUNTERS = {
    "ok": True,
    "pid": 7,
    "up": True,
    "mtu": 1420,
    "drops": {"replay": 2, "no_peer": 3},
    "packet_path": NATIVE,
    "sandbox": SANDBOX,
    "peers": {
        BOB.to_base64(): {
            "rx_packets": 4,
            "tx_packets": 5,
            "credit_used": 3 << 20,
            "limits": LIMITS,
        },
    },
}


@pytest.fixture
def tunnels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, DeviceStatus]:
    """What is up, by name; the engines answer as written here."""
    up = {"alice": ALICE}

    class Client:
        def __init__(self, ifname: str) -> None:
            self._ifname = ifname

        def get(self) -> DeviceStatus:
            if self._ifname not in up:
                raise NotRunningError(f"{self._ifname} is not up; start it")
            return up[self._ifname]

    for name in ("alice", "zoe", "gone"):
        (tmp_path / f"{name}.sock").touch()
    monkeypatch.setenv("FS_TUNNEL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(uapi, "socket_path", lambda name: tmp_path / f"{name}.sock")
    monkeypatch.setattr(tunnels_module, "UapiClient", Client)
    monkeypatch.setattr(status_module, "require_root", lambda command: None)
    monkeypatch.setattr(control, "status", lambda name: COUNTERS)
    monkeypatch.setattr(time, "time", lambda: NOW_NS / 10**9)
    return up


def shown(*arguments: str) -> str:
    return CliRunner().invoke(status_module.status, arguments, catch_exceptions=False).output


# What people see.


def test_the_table(tunnels: dict[str, DeviceStatus]) -> None:
    head, columns, bob, carol, limits, path, drops = shown().splitlines()
    assert head.startswith("alice  engine  port 51820  key ")
    assert columns.split("  ")[0] == "PEER"
    for said in (BOB.to_base64(), "[2001:db8::2]:7", "12 s ago", "5.0 GiB", "1.5 KiB"):
        assert said in bob
    assert "10.66.0.0/32, 10.66.0.1/32, 10.66.0.2/32 and 2 more" in bob
    assert carol.split() == [CAROL.to_base64(), "-", "-", "never", "0", "B", "0", "B"]
    assert columns.index("HANDSHAKE") == bob.index("12 s ago") == carol.index("never")
    assert limits == (
        f"limits of {BOB.to_base64()}: 1.0 MiB/s in, 5.0 MiB of 8.0 MiB left, "
        "10.66.0.1:443 without credit"
    )
    assert path == "packet path: native, ipsec-mb, 2 threads"
    assert drops == "dropped: 3 no_peer, 2 replay"


@pytest.mark.parametrize(
    ("ago_s", "state"),
    [(0, "connected"), (179, "connected"), (181, "connecting")],
)
def test_a_client_is_connected_while_it_has_a_session(
    tunnels: dict[str, DeviceStatus], ago_s: int, state: str
) -> None:
    with locked("alice"):
        Journal("alice").begin("up", "alice.conf", {})
    peer = replace(ALICE.peers[0], last_handshake_ns=NOW_NS - ago_s * 10**9)
    tunnels["alice"] = replace(ALICE, peers=(peer,))
    assert shown().startswith(f"alice  up  {state}  port 51820  key ")
    (alice,) = json.loads(shown("--json"))["tunnels"]
    assert alice["state"] == state
    tunnels["alice"] = replace(ALICE, peers=())
    assert shown().startswith("alice  up  connecting  ")


def test_a_provider_and_a_bare_engine_have_no_state(tunnels: dict[str, DeviceStatus]) -> None:
    (alice,) = json.loads(shown("--json"))["tunnels"]
    assert (alice["role"], alice["state"]) == (None, None)
    with locked("alice"):
        Journal("alice").begin("serve", "alice.conf", {})
    (alice,) = json.loads(shown("--json"))["tunnels"]
    assert (alice["role"], alice["state"]) == ("serve", None)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ({"form": "python"}, "Python"),
        (NATIVE | {"threads": 1}, "native, ipsec-mb, 1 thread"),
        (
            NATIVE | {"tun_offload": {"tcp": True, "udp": False}},
            "native, ipsec-mb, 2 threads, no UDP offload of the TUN (Linux 6.2 has it)",
        ),
        (
            NATIVE
            | {"tun_offload": {"tcp": False, "udp": True}, "udp_gro": False, "gso_refused": 3},
            (
                "native, ipsec-mb, 2 threads, no TCP offload of the TUN, "
                "datagrams come one by one, 3 sends went in parts, as their way has a smaller MTU"
            ),
        ),
    ],
    ids=["python", "one thread", "no uso", "nothing"],
)
def test_what_the_packet_path_does_without(
    tunnels: dict[str, DeviceStatus],
    monkeypatch: pytest.MonkeyPatch,
    path: dict[str, object],
    said: str,
) -> None:
    monkeypatch.setattr(control, "status", lambda name: COUNTERS | {"packet_path": path})
    assert f"packet path: {said}" in shown().splitlines()


def test_a_tunnel_without_anything(tunnels: dict[str, DeviceStatus]) -> None:
    tunnels["zoe"] = DeviceStatus(None, 0, 0, ())
    assert shown("zoe").splitlines()[:2] == ["zoe  engine  port -  key none", "no peers"]
    assert shown().index("alice") < shown().index("zoe")
    assert "zoe" not in shown("alice")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        *((-5, "0 s ago"), (0, "0 s ago"), (119, "119 s ago"), (120, "2 min ago")),
        *((7199, "119 min ago"), (7200, "2 h ago"), (172_799, "47 h ago"), (172_800, "2 d ago")),
    ],
)
def test_ages(tunnels: dict[str, DeviceStatus], seconds: int, said: str) -> None:
    at = NOW_NS - seconds * 10**9
    tunnels["alice"] = DeviceStatus(None, 0, 0, (PeerStatus(BOB, None, None, at, 0, 0, 0, ()),))
    assert f"  {said}  " in shown()


@pytest.mark.parametrize(
    ("sandbox", "said"),
    [
        (None, "sandbox: off"),
        (SANDBOX | {"landlock": 0}, "sandbox: without landlock"),
        (SANDBOX | {"landlock": 0, "seccomp": False}, "sandbox: without seccomp and landlock"),
    ],
)
def test_what_is_missing_of_the_sandbox_is_told(
    tunnels: dict[str, DeviceStatus],
    monkeypatch: pytest.MonkeyPatch,
    sandbox: dict[str, object] | None,
    said: str,
) -> None:
    assert "sandbox" not in shown()
    monkeypatch.setattr(control, "status", lambda name: COUNTERS | {"sandbox": sandbox})
    assert said in shown().splitlines()


@pytest.mark.parametrize(
    ("count", "said"),
    [
        *((0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (1 << 20, "1.0 MiB")),
        *((1 << 30, "1.0 GiB"), (1 << 40, "1.0 TiB"), (1 << 52, "4096.0 TiB")),
    ],
)
def test_bytes(count: int, said: str) -> None:
    assert human_bytes(count) == said


# What programs read.


def test_the_json(tunnels: dict[str, DeviceStatus]) -> None:
    said = json.loads(shown("--json"))
    bob: dict[str, Any] = {
        "public_key": BOB.to_base64(),
        "has_preshared_key": True,
        "endpoint": "[2001:db8::2]:7",
        "allowed_ips": [f"10.66.0.{each}/32" for each in range(5)],
        "latest_handshake": NOW_NS / 10**9 - 12.5,
        "rx_bytes": 5 << 30,
        "tx_bytes": 1536,
        "persistent_keepalive": 25,
        "rx_packets": 4,
        "tx_packets": 5,
        "credit_used": 3 << 20,
        "limits": LIMITS,
    }
    carol: dict[str, Any] = {
        "public_key": CAROL.to_base64(),
        "has_preshared_key": False,
        "endpoint": None,
        "allowed_ips": [],
        "latest_handshake": None,
        "persistent_keepalive": 0,
        **dict.fromkeys(("rx_bytes", "tx_bytes", "rx_packets", "tx_packets"), 0),
        "credit_used": 0,
        "limits": None,
    }
    (alice,) = said.pop("tunnels")
    off = dict.fromkeys(("on", "allow_lan", "blocking", "lifted"), False)
    assert said == {"schema": 1, "lockdown": off}
    assert len(PublicKey.from_base64(alice.pop("public_key")).raw) == KEY_LEN
    assert alice == {
        "name": "alice",
        "role": None,
        "config": None,
        "state": None,
        "listen_port": 51820,
        "fwmark": 7,
        "pid": 7,
        "up": True,
        "mtu": 1420,
        "drops": {"replay": 2, "no_peer": 3},
        "packet_path": NATIVE,
        "sandbox": SANDBOX,
        "peers": [bob, carol],
    }


def test_the_manual_has_every_key(tunnels: dict[str, DeviceStatus]) -> None:
    page = (REPOSITORY / "docs/man/fs-tunnel.8").read_text()
    listed = page.partition(".Sh STATUS AS JSON")[2].partition(".Sh")[0]
    said = json.loads(shown("--json"))
    (alice,) = said["tunnels"]
    for key in (*said, *alice, *alice["peers"][0]):
        assert re.search(rf"^\.(It )?Li .*\b{key}\b", listed, re.MULTILINE), key


@pytest.mark.parametrize("arguments", [(), ("--json",)], ids=["table", "json"])
def test_no_secret_is_shown(tunnels: dict[str, DeviceStatus], arguments: tuple[str, ...]) -> None:
    said = shown(*arguments)
    for secret in (SECRET, PSK):
        for form in (secret.to_base64(), secret.to_hex()):
            assert form[:12] not in said


# What is not there.


@pytest.mark.parametrize("arguments", [(), ("--json",), ("--watch",)])
def test_where_nothing_is_up(tunnels: dict[str, DeviceStatus], arguments: tuple[str, ...]) -> None:
    tunnels.clear()
    with pytest.raises(NotRunningError, match="no tunnel is up; start one") as caught:
        shown(*arguments)
    assert caught.value.exit_code == 3


def test_a_name_that_is_not_up(tunnels: dict[str, DeviceStatus]) -> None:
    with pytest.raises(NotRunningError, match="zoe is not up"):
        shown("zoe")


def test_the_sockets_of_dead_engines_do_not_hide_the_others(
    tunnels: dict[str, DeviceStatus],
) -> None:
    assert uapi.socket_path("gone").exists()
    assert [line for line in shown().splitlines() if "port" in line] == [shown().splitlines()[0]]


def test_without_the_directory_of_sockets_nothing_is_up(
    tunnels: dict[str, DeviceStatus], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uapi, "socket_path", lambda name: Path("/nonexistent", name))
    with pytest.raises(NotRunningError, match="no tunnel is up"):
        shown()


def test_one_that_hangs_is_told_of_and_does_not_hide_the_others(
    tunnels: dict[str, DeviceStatus], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(name: str) -> DeviceStatus:
        raise ControlError(f"{name}'s engine did not answer; see its log")

    tunnels["zoe"] = ALICE
    look = tunnels_module.look
    monkeypatch.setattr(
        tunnels_module, "look", lambda name: hang(name) if name == "zoe" else look(name)
    )
    done = CliRunner().invoke(status_module.status, [], catch_exceptions=False)
    assert done.stdout.startswith("alice ")
    assert done.stderr == "fs-tunnel: warning: zoe's engine did not answer; see its log\n"
    with pytest.raises(ControlError):
        shown("zoe")


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    done = CliRunner().invoke(status_module.status, [])
    assert getattr(done.exception, "exit_code", None) == 4
    assert "sudo" in str(done.exception)
