# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Parts that only the native path has: the queues of threads, and refusals of bad input."""

import select
from collections.abc import Callable
from ipaddress import ip_network

import pytest

from fs_tunnel.dataplane import _native
from fs_tunnel.dataplane.native import AEAD, NativePath
from fs_tunnel.proto.path import HandshakeReceived, PathKeys
from fs_wire.types import Endpoint

KEY = bytes(32)


def readable(path: NativePath) -> bool:
    return bool(select.select([path.fileno()], [], [], 0)[0])


def test_the_library_is_named() -> None:
    assert AEAD in ("ipsec-mb", "libcrypto")


def test_who_floods_from_one_place_crowds_out_few() -> None:
    path = NativePath()
    for _ in range(10_000):
        path.receive_datagram(b"\1", Endpoint("192.0.2.1", 1), None, 1.0)
    others = [Endpoint(f"198.51.100.{number}", 1) for number in range(1, 33)]
    for each in others:
        path.receive_datagram(b"\1", each, None, 1.0)
    first = path.take_events(128)
    heard = {event.source for event in first if isinstance(event, HandshakeReceived)}
    # Those who share a queue with the flood are few, whatever the salt: one in 64 each.
    assert len(heard.intersection(others)) >= len(others) - 8


def test_its_file_is_readable_while_something_waits() -> None:
    path = NativePath()
    assert not readable(path)
    for number in range(3):
        path.receive_datagram(bytes([number]), Endpoint("192.0.2.1", 1), None, 1.0)
    assert readable(path)
    assert len(path.take_events(2)) == 2
    assert readable(path)
    assert len(path.take_events(2)) == 1
    assert not readable(path)


def test_a_number_of_a_peer_does_not_come_again() -> None:
    path = NativePath()
    seen = set()
    for _ in range(100):
        peer = path.add_peer()
        assert peer not in seen
        seen.add(peer)
        path.remove_peer(peer)
        with pytest.raises(KeyError):
            path.counters(peer)


def test_nonsense_is_refused() -> None:
    path = _native.Path(1.0)
    peer = path.add_peer()
    path.add_keys(peer, 1, 1, KEY, KEY, True, 1.0, True)
    nonsense: list[Callable[[], object]] = [
        lambda: path.add_keys(peer, 1, 1, KEY, KEY, True, 1.0, True),  # an index twice
        lambda: path.add_keys(peer, 2, 1, KEY[1:], KEY, True, 1.0, True),
        lambda: path.allow(bytes(4), 33, peer),
        lambda: path.allow(bytes(5), 1, peer),
        lambda: path.set_endpoint(peer, (bytes(5), 1, 0, b"", 0)),
        lambda: path.set_endpoint(peer, (bytes(4), 70000, 0, b"", 0)),
        lambda: path.set_endpoint(peer, (bytes(4), 1, 0, bytes(16), 0)),
        lambda: path.receive_frame(bytes(70000), 1.0),
        lambda: path.seal(peer, bytes(70000), 1.0),
    ]
    for ask in nonsense:
        with pytest.raises(ValueError, match=r"has|one keypair"):
            ask()
    unknown: list[Callable[[], object]] = [
        lambda: path.use_keys(peer, 7),
        lambda: path.endpoint(peer + 1),
        lambda: path.allow(bytes(4), 1, peer + 1),
    ]
    for ask in unknown:
        with pytest.raises(KeyError):
            ask()
    path.remove_keys(7)  # gone already is fine


def test_keys_of_one_peer_are_no_other_peers() -> None:
    path = NativePath()
    one, other = path.add_peer(), path.add_peer()
    path.add_keys(one, PathKeys(1, 1, KEY, KEY, True, 1.0), confirmed=True)
    with pytest.raises(KeyError):
        path.use_keys(other, 1)


def test_thousands_of_keys_and_networks_come_and_go() -> None:
    """The tables grow, and what was removed stays away."""
    path = NativePath()
    peers = [path.add_peer() for _ in range(200)]
    for number in range(5000):
        keys = PathKeys(number * 2654435761 % 2**32, 1, KEY, KEY, True, 1.0)
        path.add_keys(peers[number % 200], keys, confirmed=True)
        path.allow(ip_network((number << 8, 24)), peers[number % 200])
    for number in range(0, 5000, 2):
        path.remove_keys(number * 2654435761 % 2**32)
        path.disallow(ip_network((number << 8, 24)))
    for number in range(5000):
        index = number * 2654435761 % 2**32
        if number % 2:
            path.use_keys(peers[number % 200], index)
        else:
            with pytest.raises(KeyError):
                path.use_keys(peers[number % 200], index)
    for peer in peers:
        path.remove_peer(peer)
    assert path.take_events(100) == []
