# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The C code cuts and joins as the Python code does, byte for byte."""

from itertools import chain

from hypothesis import example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from fs_tunnel.dataplane import _native, offload
from fs_tunnel.proto.errors import MalformedMessage
from tests.walks import examples

PAYLOAD = bytes(range(256)) * 8
ports = st.sampled_from([1, 2])
ip_headers = st.one_of(
    st.builds(
        lambda src, flags, ttl, number: IP(
            src=src, dst="10.0.0.2", flags=flags, ttl=ttl, id=number
        ),
        st.sampled_from(["10.0.0.1", "10.0.0.3"]),
        st.sampled_from(["DF", "DF", "DF", "", "MF"]),
        st.sampled_from([64, 64, 63]),
        st.integers(0, 0xFFFF),
    ),
    st.builds(
        lambda src, label: IPv6(src=src, dst="fd00::2", fl=label),
        st.sampled_from(["fd00::1", "fd00::3"]),
        st.sampled_from([0, 0, 7]),
    ),
)
tcp_flags = st.sampled_from(["A", "A", "A", "PA", "FA", "S", "AC", "ACE"])


@st.composite
def flows(draw: st.DrawFn) -> list[bytes]:
    """Draw packets of one flow; most of them are contiguous, and some are odd."""
    header, size = draw(ip_headers), draw(st.integers(1, 300))
    tcp, sequence = draw(st.booleans()), draw(st.integers(0, 2**32 - 1))
    options = draw(st.sampled_from([[], [("Timestamp", (1, 2)), ("NOP", None), ("NOP", None)]]))
    packets = []
    for _ in range(draw(st.integers(1, 6))):
        length = draw(st.sampled_from([size, size, size, size - 1, size + 1, 0]))
        if tcp:
            transport: Packet = TCP(
                sport=draw(ports), dport=9, seq=sequence, flags=draw(tcp_flags), options=options
            )
        else:
            transport = UDP(sport=draw(ports), dport=9)
        packet = bytearray(bytes(header / transport / PAYLOAD[:length]))
        if draw(st.integers(0, 9)) == 0:
            packet[draw(st.integers(0, len(packet) - 1))] ^= 1 << draw(st.integers(0, 7))
        packets.append(bytes(packet))
        sequence = (sequence + length + draw(st.sampled_from([0, 0, 0, 1]))) % 2**32
    return packets


def cut(frame: bytes) -> list[bytes] | None:
    try:
        return offload.segment(frame)
    except MalformedMessage:
        return None


def cut_natively(frame: bytes) -> list[bytes] | None:
    try:
        return _native.segment(frame)
    except ValueError:
        return None


@given(st.lists(flows(), max_size=3).map(lambda each: list(chain.from_iterable(each))))
@settings(max_examples=examples(400))
def test_the_native_path_joins_as_the_python_path_does(packets: list[bytes]) -> None:
    # The path hands over only whole packets without padding.
    packets = [each for packet in packets for each in cut(offload.PLAIN + packet) or ()]
    frames = _native.coalesce(packets)
    assert frames == offload.coalesce(packets)
    for frame in frames:
        assert cut_natively(frame) == cut(frame) is not None


@given(
    flows().map(lambda packets: packets[0]),
    st.sampled_from([0, 1, 1, 1, 2, 3]),
    st.sampled_from([0, 1, 4, 5, 0x81, 0x84, 2]),
    st.one_of(st.integers(0, 40), st.integers(0, 0xFFFF)),
    st.sampled_from([20, 40, 0, 8, 60, 0xFFFF]),
    st.sampled_from([16, 6, 0, 0xFFFF]),
)
@settings(max_examples=examples(1000))
@example(bytes(IP() / TCP(flags="PA") / PAYLOAD), 1, 1, 100, 20, 16)
@example(bytes(IP() / UDP() / PAYLOAD), 1, 5, 100, 20, 6)
@example(bytes(IPv6() / TCP(flags="FPA") / PAYLOAD), 1, 0x84, 33, 40, 16)
@example(bytes(IPv6() / UDP() / PAYLOAD), 1, 5, 1, 40, 6)
@example(bytes(IPv6() / UDP() / b"x"), 1, 0, 0, 40, 6)
def test_the_native_path_cuts_as_the_python_path_does(
    packet: bytes, flags: int, gso_type: int, gso_size: int, start: int, offset: int
) -> None:
    header = b"".join(
        number.to_bytes(length, "little")
        for number, length in (
            (flags, 1),
            (gso_type, 1),
            (0, 2),
            (gso_size, 2),
            (start, 2),
            (offset, 2),
        )
    )
    assert cut_natively(header + packet) == cut(header + packet)


def test_both_paths_cut_alike_for_every_segment_size() -> None:
    for packet, kind in (
        (IP(flags="DF") / TCP(flags="PA") / PAYLOAD, 1),
        (IPv6() / TCP(flags="FA") / PAYLOAD, 4),
        (IP(flags="DF") / UDP() / PAYLOAD, 5),
        (IPv6() / UDP() / PAYLOAD, 5),
    ):
        raw = bytes(packet)
        start = len(raw) - len(bytes(packet.payload))
        for size in range(1, 130):
            offset = 6 if kind == 5 else 16
            frame = bytes([1, kind, 0, 0, size, 0, start, 0, offset, 0]) + raw
            packets = cut_natively(frame)
            assert packets is not None
            assert packets == cut(frame)
            assert sum(map(len, packets)) - len(raw) == (len(packets) - 1) * (
                len(raw) - len(PAYLOAD)
            )


@given(st.binary(max_size=120))
def test_both_paths_treat_any_bytes_alike(frame: bytes) -> None:
    assert cut_natively(frame) == cut(frame)
