# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Only the native path has queues of threads, and refuses bad arguments."""

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


def test_the_native_path_names_its_crypto_library() -> None:
    assert AEAD in ("ipsec-mb", "libcrypto")


def test_a_flood_from_one_source_crowds_out_few_others() -> None:
    path = NativePath()
    for _ in range(10_000):
        path.receive_datagram(b"\1", Endpoint("192.0.2.1", 1), None, 1.0)
    others = [Endpoint(f"198.51.100.{number}", 1) for number in range(1, 33)]
    for each in others:
        path.receive_datagram(b"\1", each, None, 1.0)
    first = path.take_events(128)
    heard = {event.source for event in first if isinstance(event, HandshakeReceived)}
    # Whatever the salt is, each source shares the flood's queue with a chance of one in 64.
    assert len(heard.intersection(others)) >= len(others) - 8


def test_the_paths_descriptor_is_readable_while_events_wait() -> None:
    path = NativePath()
    assert not readable(path)
    for number in range(3):
        path.receive_datagram(bytes([number]), Endpoint("192.0.2.1", 1), None, 1.0)
    assert readable(path)
    assert len(path.take_events(2)) == 2
    assert readable(path)
    assert len(path.take_events(2)) == 1
    assert not readable(path)


def test_the_number_of_a_removed_peer_is_not_used_again() -> None:
    path = NativePath()
    seen = set()
    for _ in range(100):
        peer = path.add_peer()
        assert peer not in seen
        seen.add(peer)
        path.remove_peer(peer)
        with pytest.raises(KeyError):
            path.counters(peer)


def test_bad_arguments_are_refused() -> None:
    path = _native.Path(1.0)
    peer = path.add_peer()
    path.add_keys(peer, 1, 1, KEY, KEY, True, 1.0, True)
    nonsense: list[Callable[[], object]] = [
        lambda: path.add_keys(peer, 1, 1, KEY, KEY, True, 1.0, True),  # this index is in use
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
    path.remove_keys(7)  # removing keys twice is no error


def test_a_peer_cannot_use_the_keys_of_another_peer() -> None:
    path = NativePath()
    one, other = path.add_peer(), path.add_peer()
    path.add_keys(one, PathKeys(1, 1, KEY, KEY, True, 1.0), confirmed=True)
    with pytest.raises(KeyError):
        path.use_keys(other, 1)


def test_thousands_of_keys_and_networks_can_be_added_and_removed() -> None:
    """The tables grow, and removed keys stay removed."""
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
