# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The UAPI's client: against engines that misbehave, and against the real one beside ``wg``."""

import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_network
from pathlib import Path

import pytest

from fs_tunnel.proto.crypto import public_key
from fs_wire import uapi, uapi_client
from fs_wire.errors import ControlError, NotRunningError
from fs_wire.types import KEY_LEN, Endpoint, PresharedKey, PrivateKey, PublicKey
from fs_wire.uapi import AllowedIPChange, DeviceStatus, DeviceUpdate, PeerUpdate
from fs_wire.uapi_client import UapiClient
from tests.netns.peers import FS, Peer, running
from tests.netns.topology import Topology
from tools.testing import patience

NAME = "alice"


def new_key() -> PrivateKey:
    return PrivateKey(os.urandom(KEY_LEN))


def public(key: PrivateKey) -> PublicKey:
    return PublicKey(public_key(key.raw))


# Engines that do as they are told here.


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the client looks for sockets."""
    monkeypatch.setattr(uapi, "socket_path", lambda ifname: tmp_path / f"{ifname}.sock")
    return tmp_path


@contextmanager
def engine_that_says(
    folder: Path, *chunks: bytes, stays: bool = False, pause: float = 0.0
) -> Iterator[list[bytes]]:
    """Answers one request with ``chunks``, each after ``pause`` seconds, then hangs up.

    With ``stays`` it leaves the connection open.
    """
    requests: list[bytes] = []
    done = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(patience.seconds(10))
            request = b""
            while not request.endswith(b"\n\n"):
                request += connection.recv(4096)
            requests.append(request)
            with suppress(BrokenPipeError):  # a client may give up
                for chunk in chunks:
                    done.wait(pause)
                    connection.sendall(chunk)
            if stays:
                done.wait(patience.seconds(10))

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(folder / f"{NAME}.sock"))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield requests
        finally:
            done.set()
            thread.join(10)
    assert not thread.is_alive()


def test_an_answer_in_pieces_is_one_answer(folder: Path) -> None:
    with engine_that_says(folder, b"listen_po", b"rt=7\nerrno", b"=0\n", b"\n", stays=True):
        assert UapiClient(NAME).get() == DeviceStatus(None, 7, 0, ())


def test_a_request_ends_with_an_empty_line(folder: Path) -> None:
    with engine_that_says(folder, b"errno=0\n\n") as requests:
        UapiClient(NAME).set(DeviceUpdate(listen_port=7))
    assert requests == [b"set=1\nlisten_port=7\n\n"]


@pytest.mark.parametrize("sign", ["", "-"], ids=["of the specification", "of wireguard-go"])
def test_a_refusal_is_an_error_with_its_number(folder: Path, sign: str) -> None:
    said = f"errno={sign}{errno.EADDRINUSE}\n\n".encode()
    with engine_that_says(folder, said), pytest.raises(uapi.UapiError) as caught:
        UapiClient(NAME).set(DeviceUpdate(listen_port=7))
    assert caught.value.errno == errno.EADDRINUSE
    assert os.strerror(errno.EADDRINUSE) in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [b"", b"listen_port=7\n", b"errno=0\n", b"\n\n", b"errno=\n\n", b"errno=x\n\n", b"\xff\n\n"],
)
def test_half_an_answer_is_an_error(folder: Path, said: bytes) -> None:
    with engine_that_says(folder, said), pytest.raises(ControlError, match="did not answer"):
        UapiClient(NAME).get()


def test_an_engine_that_hangs_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uapi_client, "_DEADLINE", 0.05)
    with (
        engine_that_says(folder, b"listen_port=7\n", stays=True),
        pytest.raises(ControlError, match="did not answer"),
    ):
        UapiClient(NAME).get()


def test_an_engine_that_trickles_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uapi_client, "_DEADLINE", 0.2)
    answer = [b"fwmark=7\n"] * 100 + [b"errno=0\n\n"]
    with (
        engine_that_says(folder, *answer, pause=0.02),
        pytest.raises(ControlError, match="did not answer"),
    ):
        UapiClient(NAME).get()


def test_an_answer_without_end_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uapi_client, "_MAX_REPLY_BYTES", 1000)
    with (
        engine_that_says(folder, b"tx_bytes=1\n" * 200 + b"errno=0\n\n"),
        pytest.raises(ControlError, match="did not answer"),
    ):
        UapiClient(NAME).get()


def test_without_an_engine_it_is_not_running(folder: Path) -> None:
    with pytest.raises(NotRunningError, match="alice is not up; start it with") as caught:
        UapiClient(NAME).get()
    assert caught.value.exit_code == 3
    assert not uapi_client.is_answered(NAME)


def test_the_socket_of_a_dead_engine_is_not_running(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(folder / f"{NAME}.sock"))  # and does not listen
        with pytest.raises(NotRunningError):
            UapiClient(NAME).get()
        assert not uapi_client.is_answered(NAME)


def test_a_path_too_long_for_a_socket_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uapi, "socket_path", lambda ifname: Path("/tmp", "x" * 120))
    with pytest.raises(ControlError, match="cannot be reached"):
        UapiClient(NAME).get()


# The real engine, and wg as the second opinion.


@pytest.fixture
def engine() -> Iterator[Peer]:
    with Topology() as topology, running(FS, topology.namespace("alice"), ["10.66.0.1/24"]) as made:
        yield made


@pytest.mark.netns
class TestBesideWg:
    def test_what_wg_set_is_what_we_get(self, engine: Peer) -> None:
        bob, psk = public(new_key()), PresharedKey(os.urandom(KEY_LEN))
        networks = ["10.66.0.2/32", "10.77.0.0/16", "fd66::2/128"]
        engine.wg("set", "fwmark", "0xca6c")
        engine.add_peer(
            bob.to_base64(),
            allowed_ips=networks,
            endpoint=("2001:db8::2", 7),
            psk=psk.to_base64(),
            keepalive=25,
        )
        status = UapiClient(engine.ifname).get()
        assert status.private_key == PrivateKey.from_base64(engine.keys.private)
        assert (status.listen_port, status.fwmark) == (51820, 0xCA6C)
        (peer,) = status.peers
        assert (peer.public_key, peer.preshared_key) == (bob, psk)
        assert (peer.endpoint, peer.persistent_keepalive) == (Endpoint("2001:db8::2", 7), 25)
        assert set(peer.allowed_ips) == {ip_network(each) for each in networks}
        assert peer.last_handshake_ns == peer.rx_bytes == 0

    def test_what_we_set_is_what_wg_shows(self, engine: Peer) -> None:
        key, bob, psk = new_key(), public(new_key()), PresharedKey(os.urandom(KEY_LEN))
        UapiClient(engine.ifname).set(
            DeviceUpdate(
                private_key=key,
                listen_port=51821,
                fwmark=7,
                replace_peers=True,
                peers=(
                    PeerUpdate(
                        bob,
                        preshared_key=psk,
                        endpoint=Endpoint("192.0.2.2", 7),
                        persistent_keepalive=9,
                        replace_allowed_ips=True,
                        allowed_ips=(AllowedIPChange(ip_network("10.66.0.2/32")),),
                    ),
                ),
            )
        )
        device, row = (line.split("\t") for line in engine.wg("show", "dump").splitlines())
        assert device == [key.to_base64(), public(key).to_base64(), "51821", "0x7"]
        assert row[:4] == [bob.to_base64(), psk.to_base64(), "192.0.2.2:7", "10.66.0.2/32"]
        assert row[7] == "9"

    def test_changes_of_one_peer_leave_the_others(self, engine: Peer) -> None:
        client, bob, carol = UapiClient(engine.ifname), public(new_key()), public(new_key())
        both = (ip_network("10.66.0.2/32"), ip_network("10.77.0.0/16"))
        client.set(
            DeviceUpdate(
                peers=(
                    PeerUpdate(bob, allowed_ips=tuple(map(AllowedIPChange, both))),
                    PeerUpdate(carol),
                )
            )
        )
        take = AllowedIPChange(both[1], remove=True)
        unknown = public(new_key())
        client.set(
            DeviceUpdate(
                peers=(
                    PeerUpdate(bob, allowed_ips=(take,)),
                    PeerUpdate(carol, remove=True),
                    PeerUpdate(unknown, update_only=True, persistent_keepalive=25),
                )
            )
        )
        assert {each.public_key: each.allowed_ips for each in client.get().peers} == {
            bob: (both[0],)
        }

    def test_a_key_can_be_taken_away(self, engine: Peer) -> None:
        UapiClient(engine.ifname).set(DeviceUpdate(remove_private_key=True))
        assert UapiClient(engine.ifname).get().private_key is None
        assert engine.wg("show", "public-key").strip() == "(none)"

    def test_a_zone_is_named_by_wg_and_numbered_by_us(self, engine: Peer) -> None:
        bob = public(new_key())
        engine.wg("set", "peer", bob.to_base64(), "endpoint", "[fe80::1%lo]:7")
        (peer,) = UapiClient(engine.ifname).get().peers
        assert peer.endpoint == Endpoint("fe80::1", 7, socket.if_nametoindex("lo"))
        assert engine.endpoint(bob.to_base64()) == "[fe80::1%lo]:7"

    def test_a_busy_port_is_refused_with_its_reason(self, engine: Peer) -> None:
        with engine.home.udp_socket("0.0.0.0") as busy:
            port = busy.getsockname()[1]
            with pytest.raises(uapi.UapiError, match="Address already in use") as caught:
                UapiClient(engine.ifname).set(DeviceUpdate(listen_port=port))
        assert caught.value.errno == errno.EADDRINUSE
        assert UapiClient(engine.ifname).get().listen_port == 51820
