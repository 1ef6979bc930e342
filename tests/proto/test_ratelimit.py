# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The limit is each source's own, and its memory is bounded."""

from ipaddress import IPv4Address

from fs_tunnel.proto.ratelimit import BURST, MAX_SOURCES, HandshakeRateLimiter
from fs_wire.types import Endpoint


def allowed(limiter: HandshakeRateLimiter, ip: str, now: float, attempts: int) -> int:
    return sum(limiter.allow(Endpoint(ip, port), now) for port in range(1, attempts + 1))


def test_a_burst_and_then_the_rate() -> None:
    limiter = HandshakeRateLimiter()
    assert allowed(limiter, "192.0.2.1", 100.0, 50) == BURST
    assert BURST == 5
    # 20 a second are one every 50 ms.
    assert allowed(limiter, "192.0.2.1", 100.0499, 10) == 0
    assert allowed(limiter, "192.0.2.1", 100.0501, 10) == 1
    assert allowed(limiter, "192.0.2.1", 100.19, 10) == 2
    assert allowed(limiter, "192.0.2.1", 200, 10) == BURST


def test_one_source_does_not_use_up_anothers() -> None:
    limiter = HandshakeRateLimiter()
    allowed(limiter, "192.0.2.1", 0, 1000)
    assert allowed(limiter, "192.0.2.2", 0, 50) == BURST


def test_an_ipv6_network_is_one_source() -> None:
    limiter = HandshakeRateLimiter()
    assert allowed(limiter, "2001:db8::1", 0, 50) == BURST
    assert allowed(limiter, "2001:db8::2", 0, 50) == 0
    assert allowed(limiter, "2001:db8:0:0:ff00::1", 0, 50) == 0
    assert allowed(limiter, "2001:db8:0:1::2", 0, 50) == BURST


def test_many_sources_are_forgotten() -> None:
    limiter = HandshakeRateLimiter()
    for number in range(MAX_SOURCES + 1000):
        limiter.allow(Endpoint(str(IPv4Address(number)), 1), 0)
    assert len(limiter) == MAX_SOURCES == 65536
    limiter.allow(Endpoint("192.0.2.1", 1), 10)
    assert len(limiter) == 1


def test_a_flood_does_not_free_who_keeps_asking() -> None:
    limiter = HandshakeRateLimiter()
    assert allowed(limiter, "192.0.2.1", 0, 50) == BURST
    for number in range(2 * MAX_SOURCES):
        limiter.allow(Endpoint(str(IPv4Address(number)), 1), 0)
        if number % (MAX_SOURCES // 2) == 0:
            assert not limiter.allow(Endpoint("192.0.2.1", 1), 0)
