# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""From what the user names to what an engine is told."""

import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from fs_tunnel import settings
from fs_tunnel.config import TunnelConfig, parse
from fs_tunnel.linux.journal.journal import Journal
from fs_tunnel.linux.routing import links
from fs_tunnel.proto.crypto import public_key
from fs_wire.errors import ConfigError, SystemChangeError
from fs_wire.types import NO_PRESHARED_KEY, Endpoint, PrivateKey, PublicKey
from tools.testing import patience


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Journals of our own."""
    monkeypatch.setenv("FS_TUNNEL_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


def config(*endpoints: str, interface: str = "") -> TunnelConfig:
    lines = ["[Interface]", f"PrivateKey = {PrivateKey(os.urandom(32)).to_base64()}", interface]
    for endpoint in endpoints:
        key = PublicKey(public_key(os.urandom(32)))
        lines += ["[Peer]", f"PublicKey = {key.to_base64()}"]
        lines += [f"Endpoint = {endpoint}"] if endpoint else []
    return parse("\n".join(lines), name="wg0", source="wg0.conf")


def answer(monkeypatch: pytest.MonkeyPatch, hosts: dict[str, str]) -> None:
    """Let names be known by ``hosts`` alone."""

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        if host not in hosts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (hosts[host], port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def resolved(made: TunnelConfig) -> list[Endpoint | None]:
    found = settings.resolve(made)
    return [found.get(peer.public_key) for peer in made.peers]


# Files.


def test_a_name_is_looked_for_in_the_usual_places(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = (folder / "one", folder / "two")
    monkeypatch.setattr(settings, "CONFIG_DIRECTORIES", places)
    for each in places:
        each.mkdir()
    with pytest.raises(ConfigError, match=r"wg0: no such file.*\./wg0\.conf"):
        settings.read("wg0")
    text = f"[Interface]\nPrivateKey = {PrivateKey(os.urandom(32)).to_base64()}\n"
    for each in reversed(places):
        (each / "wg0.conf").write_text(text)
        assert settings.read("wg0").source == str(each / "wg0.conf")
    assert settings.read(str(places[1] / "wg0.conf")).source == str(places[1] / "wg0.conf")


@pytest.mark.parametrize("named", ["wg0", "wg0.conf", "./wg0.conf", "/etc/gone/wg0.conf"])
def test_a_tunnel_is_named_without_its_file(named: str) -> None:
    assert settings.tunnel_name(named) == "wg0"


@pytest.mark.parametrize("named", ["", "..", "a b", "../..", "0123456789abcdef", "$(x)"])
def test_what_is_no_name_is_refused(named: str) -> None:
    with pytest.raises(ConfigError):
        settings.tunnel_name(named)


# Endpoints.


def test_addresses_need_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    made = config("192.0.2.1:51820", "", "[2001:db8::1]:5")
    assert resolved(made) == [Endpoint("192.0.2.1", 51820), None, Endpoint("2001:db8::1", 5)]


def test_names_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, {f"host{number}.example": f"192.0.2.{number}" for number in range(100)})
    made = config(*(f"host{number}.example:7" for number in range(100)))
    assert resolved(made) == [Endpoint(f"192.0.2.{number}", 7) for number in range(100)]


def test_a_name_without_an_address_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, {})
    with pytest.raises(
        SystemChangeError, match=r"nowhere.example has no address: Name or service not known; check"
    ):
        settings.resolve(config("nowhere.example:7"))


def test_nobody_is_waited_for_after_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "_RESOLVE_DEADLINE", 0.05)
    released = threading.Event()

    def hang(*_: Any, **__: Any) -> list[Any]:
        released.wait(patience.seconds(60))
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    others = set(threading.enumerate())
    with pytest.raises(SystemChangeError, match=r"slow.example has no address: no answer within"):
        settings.resolve(config("slow.example:7"))
    lookers = set(threading.enumerate()) - others
    assert lookers
    assert all(each.daemon for each in lookers)
    released.set()
    for each in lookers:
        each.join(20)


def test_a_dead_tunnel_remembers_where_its_peers_were(monkeypatch: pytest.MonkeyPatch) -> None:
    Journal("wg0").begin("up", "wg0.conf", {"vpn.example:7": "192.0.2.1:7"})
    answer(monkeypatch, {})
    assert resolved(config("vpn.example:7")) == [Endpoint("192.0.2.1", 7)]
    answer(monkeypatch, {"vpn.example": "192.0.2.9"})
    assert resolved(config("vpn.example:7")) == [Endpoint("192.0.2.9", 7)]
    answer(monkeypatch, {})
    with pytest.raises(SystemChangeError, match=r"other\.example has no address"):
        settings.resolve(config("vpn.example:7", "other.example:7"))


# MTU and device.


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ([], 1420),
        ([None], 1420),
        ([1500], 1420),
        ([1500, 1492, None], 1412),
        ([9000], 8920),
        ([65536], 1420),
        ([1300], 1280),
    ],
)
def test_the_mtu_fits_into_the_narrowest_link(
    monkeypatch: pytest.MonkeyPatch, outer: list[int | None], inner: int
) -> None:
    mtus = iter(outer)
    monkeypatch.setattr(links, "mtu_towards", lambda *_: next(mtus))
    endpoints = [Endpoint("192.0.2.1", number + 1) for number in range(len(outer))]
    assert settings.mtu_for(endpoints, 0) == inner


@pytest.mark.parametrize(
    ("line", "usual", "port"),
    [
        ("", None, None),
        ("", 51820, 51820),
        ("ListenPort = 7", 51820, 7),
        ("ListenPort = 0", 51820, 51820),
        ("ListenPort = 0", None, None),
    ],
)
def test_the_port_is_the_files_or_the_usual_one(
    line: str, usual: int | None, port: int | None
) -> None:
    made = config(interface=line)
    assert settings.device_update(made, {}, port=usual, mark=0).listen_port == port


def test_the_device_is_told_all_and_nothing_is_left_of_before() -> None:
    made = config("192.0.2.1:7", "")
    update = settings.device_update(made, settings.resolve(made), port=None, mark=9)
    assert update.private_key == made.interface.private_key
    assert update.replace_peers
    assert update.fwmark == 9
    first, second = update.peers
    assert (first.endpoint, second.endpoint) == (Endpoint("192.0.2.1", 7), None)
    assert all(each.replace_allowed_ips for each in update.peers)
    assert all(each.preshared_key == NO_PRESHARED_KEY for each in update.peers)
    assert all(each.persistent_keepalive == 0 for each in update.peers)
