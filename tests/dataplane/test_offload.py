# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A path cuts and joins frames; scapy judges the headers and checksums."""

from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrHopByHop
from scapy.packet import Packet, Raw

from fs_tunnel.dataplane.offload import MAX_JOINED, PLAIN, coalesce, segment
from fs_tunnel.proto.errors import MalformedMessage

BYTES = bytes(range(251)) * 300  # the period is no power of two, so misplaced bytes show
TCPV4, TCPV6, UDP_L4, ECN = 1, 4, 5, 0x80
NEEDS_CSUM = 1

V4 = IP(src="10.0.0.1", dst="10.0.0.2", flags="DF", id=0xFFFE, ttl=63, tos=2)
V6 = IPv6(src="fd00::1", dst="fd00::2", fl=7, hlim=63)
OPTIONS = [("Timestamp", (1, 2)), ("NOP", None), ("NOP", None)]
SEQUENCE = 2**32 - 1000  # the stream's sequence numbers wrap around


def header(
    gso_type: int = 0, gso_size: int = 0, start: int = 0, offset: int = 0, flags: int = NEEDS_CSUM
) -> bytes:
    return pack("=BBHHHH", flags, gso_type, 0, gso_size, start, offset)


def tcp_segments(ip: Packet, size: int, length: int, flags: str = "PA") -> list[bytes]:
    """Return a stream's packets as scapy alone makes them."""
    made = []
    for number, at in enumerate(range(0, length, size)):
        is_last = at + size >= length
        own = ip.copy()
        if isinstance(own, IP):
            own.id = (ip.id + number) % 2**16
        transport = TCP(
            sport=1, dport=2, seq=(SEQUENCE + at) % 2**32, ack=5, flags="A", options=OPTIONS
        )
        transport.flags = flags if is_last else flags.replace("P", "").replace("F", "")
        if number:
            transport.flags = str(transport.flags).replace("C", "")
        made.append(bytes(own / transport / BYTES[at : min(at + size, length)]))
    return made


def udp_segments(ip: Packet, size: int, length: int) -> list[bytes]:
    made = []
    for number, at in enumerate(range(0, length, size)):
        own = ip.copy()
        if isinstance(own, IP):
            own.id = (ip.id + number) % 2**16
        made.append(bytes(own / UDP(sport=1, dport=2) / BYTES[at : min(at + size, length)]))
    return made


def super_tcp(ip: Packet, size: int, length: int, flags: str = "PA") -> bytes:
    """Return a frame as the kernel hands it over; the path must still complete the checksums."""
    transport = TCP(sport=1, dport=2, seq=SEQUENCE, ack=5, flags=flags, options=OPTIONS)
    kind = TCPV4 if isinstance(ip, IP) else TCPV6
    start = 20 if isinstance(ip, IP) else 40
    return header(kind, size, start, 16) + bytes(ip / transport / BYTES[:length])


def super_udp(ip: Packet, size: int, length: int) -> bytes:
    start = 20 if isinstance(ip, IP) else 40
    packet = bytes(ip / UDP(sport=1, dport=2) / BYTES[:length])
    return header(UDP_L4, size, start, 6) + packet


FAMILIES = pytest.mark.parametrize("ip", [V4, V6], ids=["v4", "v6"])


# Cutting.


def test_a_frame_without_offloads_is_its_packet() -> None:
    packet = bytes(V4 / UDP() / b"hello")
    assert segment(PLAIN + packet) == [packet]
    assert segment(PLAIN + packet + b"trailing bytes of the link") == [packet]


@FAMILIES
@pytest.mark.parametrize("length", [0, 1, 2, 999])
def test_a_partial_checksum_is_completed(ip: Packet, length: int) -> None:
    (whole,) = tcp_segments(ip, 1000, length) or [bytes(ip / TCP(options=OPTIONS))]
    start = 20 if ip is V4 else 40
    pseudo = ip_pseudo_sum(whole, start, 6)
    partial = whole[: start + 16] + pseudo + whole[start + 18 :]
    assert segment(header(0, 0, start, 16) + partial) == [whole]


@FAMILIES
@pytest.mark.parametrize("size", range(1360, 1376))
def test_a_stream_is_cut_into_the_packets_that_scapy_makes(ip: Packet, size: int) -> None:
    length = 4 * size + 5
    assert segment(super_tcp(ip, size, length)) == tcp_segments(ip, size, length)
    assert segment(super_udp(ip, size, length)) == udp_segments(ip, size, length)


@FAMILIES
@pytest.mark.parametrize("length", [1, 999, 1000, 1001, 2000, 60000])
def test_the_last_segment_has_the_rest_of_the_bytes(ip: Packet, length: int) -> None:
    assert segment(super_tcp(ip, 1000, length)) == tcp_segments(ip, 1000, length)
    assert segment(super_udp(ip, 1000, length)) == udp_segments(ip, 1000, length)


@FAMILIES
def test_the_first_segment_has_cwr_and_the_last_has_fin(ip: Packet) -> None:
    frame = bytearray(super_tcp(ip, 100, 250, "FPACE"))
    frame[1] |= ECN
    cut = segment(bytes(frame))
    assert cut == tcp_segments(ip, 100, 250, "FPACE")
    flags = [str((IP if ip is V4 else IPv6)(each)[TCP].flags) for each in cut]
    assert [sorted(each) for each in flags] == [sorted("ACE"), sorted("AE"), sorted("FPAE")]


def test_ipv4_options_are_on_every_segment() -> None:
    ip = IP(src="10.0.0.1", dst="10.0.0.2", options=[bytes([1] * 4)])
    packet = bytes(ip / UDP(sport=1, dport=2) / BYTES[:250])
    cut = segment(header(UDP_L4, 100, 24, 6) + packet)
    assert [len(each) for each in cut] == [132, 132, 82]
    assert all(each[20:24] == bytes([1] * 4) for each in cut)
    assert all(is_as_scapy_writes_it(each) for each in cut)


def test_ipv6_extension_headers_are_on_every_segment() -> None:
    packet = bytes(V6 / IPv6ExtHdrHopByHop() / UDP(sport=1, dport=2) / BYTES[:250])
    cut = segment(header(UDP_L4, 100, 48, 6) + packet)
    assert [len(each) for each in cut] == [156, 156, 106]
    assert all(is_as_scapy_writes_it(each) for each in cut)


TCP_PACKET = super_tcp(V4, 100, 250)[10:]
UDP_PACKET = super_udp(V6, 100, 250)[10:]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        PLAIN[:9],
        PLAIN,
        PLAIN + b"\x45",
        PLAIN + bytes(40),
        header(TCPV4, 100, 20, 16),
        header(TCPV4, 100, 20, 16, flags=0) + TCP_PACKET,
        header(TCPV4, 0, 20, 16) + TCP_PACKET,
        header(TCPV6, 100, 20, 16) + TCP_PACKET,
        header(UDP_L4, 100, 20, 6) + TCP_PACKET,
        header(TCPV4, 100, 19, 16) + TCP_PACKET,
        header(TCPV4, 100, 24, 16) + TCP_PACKET,
        header(TCPV4, 100, 20, 14) + TCP_PACKET,
        header(TCPV4, 100, 0xFFFF, 16) + TCP_PACKET,
        header(2, 100, 20, 16) + TCP_PACKET,
        header(3, 100, 20, 16) + TCP_PACKET,
        header(UDP_L4, 100, 39, 6) + UDP_PACKET,
        header(UDP_L4, 100, 40, 16) + UDP_PACKET,
        header(UDP_L4, 100, len(UDP_PACKET) - 8, 6) + UDP_PACKET,
        header(TCPV4, 100, 20, 16) + bytes(V4 / TCP(options=OPTIONS)),
        header(TCPV4, 100, 20, 16) + TCP_PACKET[:32] + b"\x10" + TCP_PACKET[33:],
        header(TCPV4, 100, 20, 16) + bytes(V4 / Raw(bytes(19)))[:9] + b"\6" + bytes(29),
        header(0, 0, len(TCP_PACKET) - 1, 0) + TCP_PACKET,
        header(0, 0, 0xFFFF, 0xFFFF) + TCP_PACKET,
    ],
)
def test_a_frame_with_a_wrong_header_is_refused(frame: bytes) -> None:
    with pytest.raises(MalformedMessage):
        segment(frame)


@given(
    head=st.one_of(
        st.binary(max_size=12),
        st.builds(
            header,
            st.sampled_from([0, TCPV4, TCPV6, UDP_L4, TCPV4 | ECN]),
            st.sampled_from([0, 1, 100, 0xFFFF]),
            st.integers(0, 80),
            st.sampled_from([6, 16, 0, 0xFFFF]),
        ),
    ),
    packet=st.sampled_from([TCP_PACKET, UDP_PACKET, b""]),
    at=st.integers(0, 400),
    value=st.integers(0, 255),
)
def test_any_frame_is_cut_or_refused(head: bytes, packet: bytes, at: int, value: int) -> None:
    changed = bytearray(head + packet)
    if changed:
        changed[at % len(changed)] = value
    try:
        cut = segment(bytes(changed))
    except MalformedMessage:
        return
    assert cut
    assert all(coalesce([each]) == [PLAIN + each] for each in cut)


# Joining.


@FAMILIES
def test_segments_of_one_stream_are_joined_into_one_frame(ip: Packet) -> None:
    (frame,) = coalesce(tcp_segments(ip, 100, 250))
    expected = super_tcp(ip, 100, 250)
    start = 20 if ip is V4 else 40
    assert frame[2:4] == (start + 32).to_bytes(2, "little")  # the length of the headers
    pseudo = ip_pseudo_sum(frame[10:], start, 6)
    assert frame[10 + start + 16 : 10 + start + 18] == pseudo
    assert without(frame, start, 16) == without(expected, start, 16)


@FAMILIES
def test_datagrams_are_joined_only_if_the_kernel_takes_them_joined(ip: Packet) -> None:
    datagrams = udp_segments(ip, 100, 250)
    (frame,) = coalesce(datagrams)
    start = 20 if ip is V4 else 40
    assert without(frame, start, 6) == without(super_udp(ip, 100, 250), start, 6)
    assert coalesce(datagrams, udp=False) == [PLAIN + each for each in datagrams]


@given(
    is_v4=st.booleans(),
    is_tcp=st.booleans(),
    size=st.integers(1, 1400),
    count=st.integers(1, 40),
    last=st.integers(1, 1400),
)
def test_joined_packets_are_cut_into_the_same_packets(
    is_v4: bool, is_tcp: bool, size: int, count: int, last: int
) -> None:
    length = (count - 1) * size + min(last, size)
    make = tcp_segments if is_tcp else udp_segments
    packets = make(V4 if is_v4 else V6, size, length)
    (frame,) = coalesce(packets)
    assert segment(frame) == packets


def test_a_joined_frame_is_no_longer_than_a_packet_may_be() -> None:
    packets = tcp_segments(V4, 1400, 47 * 1400 + 5)
    frames = coalesce(packets)
    assert all(len(frame) <= 10 + 65535 for frame in frames)
    assert [packet for frame in frames for packet in segment(frame)] == packets
    # Without the 52 bytes of headers, 65535 bytes hold 46 whole segments of 1400.
    assert [len(segment(frame)) for frame in frames] == [46, 2]


def test_at_most_max_joined_packets_are_in_a_frame() -> None:
    frames = coalesce(tcp_segments(V4, 1, MAX_JOINED + 2))
    assert [len(segment(frame)) for frame in frames] == [MAX_JOINED, 2]


def tcp(ip: Packet = V4, at: int = 0, payload: bytes = b"x" * 100, **fields: Any) -> bytes:
    given_fields: dict[str, Any] = {"sport": 1, "dport": 2, "seq": 1000 + at, "flags": "A"} | fields
    return bytes(ip.copy() / TCP(**given_fields) / payload)


def udp(ip: Packet = V4, payload: bytes = b"x" * 100, **fields: Any) -> bytes:
    given_fields: dict[str, Any] = {"sport": 1, "dport": 2} | fields
    return bytes(ip.copy() / UDP(**given_fields) / payload)


def v4(**fields: Any) -> Packet:
    changed = V4.copy()
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def v6(**fields: Any) -> Packet:
    changed = V6.copy()
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(tcp(), tcp(at=101), id="a gap"),
        pytest.param(tcp(), tcp(), id="a repetition"),
        pytest.param(tcp(), tcp(at=100, payload=b"x" * 101), id="a longer one"),
        pytest.param(tcp(), tcp(at=100, payload=b""), id="nothing but an ACK"),
        pytest.param(tcp(payload=b""), tcp(payload=b""), id="two ACKs"),
        pytest.param(tcp(flags="PA"), tcp(at=100), id="PSH before the last"),
        pytest.param(tcp(), tcp(at=100, flags="FA"), id="FIN"),
        pytest.param(tcp(flags="SA"), tcp(at=100), id="SYN"),
        pytest.param(tcp(), tcp(at=100, flags="AE"), id="ECE"),
        pytest.param(tcp(), tcp(at=100, flags="AU", urgptr=3), id="URG"),
        pytest.param(tcp(flags=""), tcp(at=100, flags=""), id="no ACK"),
        pytest.param(tcp(reserved=1), tcp(at=100, reserved=1), id="reserved bits"),
        pytest.param(tcp(ack=1), tcp(at=100, ack=2), id="another acknowledgement"),
        pytest.param(tcp(window=1), tcp(at=100, window=2), id="another window"),
        pytest.param(
            tcp(options=OPTIONS),
            tcp(at=100, options=[("Timestamp", (1, 3)), *OPTIONS[1:]]),
            id="other options",
        ),
        pytest.param(tcp(), tcp(at=100, dport=3), id="another port"),
        pytest.param(tcp(), tcp(v4(src="10.0.0.9"), at=100), id="another source"),
        pytest.param(tcp(), tcp(v4(ttl=1), at=100), id="another TTL"),
        pytest.param(tcp(), tcp(v4(tos=0), at=100), id="another TOS"),
        pytest.param(tcp(v4(flags="")), tcp(v4(flags=""), at=100), id="no DF"),
        pytest.param(tcp(v4(flags="MF")), tcp(v4(flags="MF"), at=100), id="fragments"),
        pytest.param(tcp(v4(frag=5)), tcp(v4(frag=5), at=100), id="later fragments"),
        pytest.param(
            tcp(v4(options=[bytes([1] * 4)])),
            tcp(v4(options=[bytes([1] * 4)]), at=100),
            id="IPv4 options",
        ),
        pytest.param(tcp(), tcp(at=100, chksum=1), id="a wrong checksum"),
        pytest.param(tcp(chksum=1), tcp(at=100), id="a wrong checksum before"),
        pytest.param(tcp(v4(chksum=1)), tcp(at=100), id="a wrong header checksum before"),
        pytest.param(tcp(), tcp(v4(chksum=1), at=100), id="a wrong header checksum"),
        pytest.param(tcp(V6), tcp(v6(fl=8), at=100), id="another flow label"),
        pytest.param(tcp(V6), tcp(v6(hlim=1), at=100), id="another hop limit"),
        pytest.param(
            tcp(V6 / IPv6ExtHdrHopByHop()),
            tcp(V6 / IPv6ExtHdrHopByHop(), at=100),
            id="extension headers",
        ),
        pytest.param(tcp(), udp(), id="another protocol"),
        pytest.param(udp(), udp(payload=b"x" * 101), id="a longer datagram"),
        pytest.param(udp(payload=b""), udp(payload=b""), id="empty datagrams"),
        pytest.param(udp(chksum=0), udp(chksum=0), id="no checksum"),
        pytest.param(udp(), udp(chksum=1), id="a wrong checksum of UDP"),
        pytest.param(udp(len=50), udp(len=50), id="a wrong length of UDP"),
        pytest.param(b"\x45", b"\x45", id="no packets"),
        pytest.param(bytes(V4 / Raw(b"x")), bytes(V4 / Raw(b"x")), id="neither TCP nor UDP"),
    ],
)
def test_packets_that_differ_are_not_joined(one: bytes, other: bytes) -> None:
    assert coalesce([one, other]) == [PLAIN + one, PLAIN + other]


@pytest.mark.parametrize(
    "packets",
    [
        [tcp(), tcp(at=100), tcp(at=200, flags="PA")],
        [tcp(v4(id=7)), tcp(v4(id=0), at=100, payload=b"short")],
        [udp(), udp(), udp(payload=b"short")],
    ],
)
def test_packets_that_follow_each_other_are_joined(packets: list[bytes]) -> None:
    (frame,) = coalesce(packets)
    assert [each[20:] for each in segment(frame)] == [each[20:] for each in packets]


def test_a_packet_of_another_flow_ends_a_frame() -> None:
    packets = [tcp(), tcp(at=100), udp(), tcp(at=200), tcp(at=300)]
    frames = coalesce(packets)
    assert [len(segment(frame)) for frame in frames] == [2, 1, 2]


# Helpers.


def ip_pseudo_sum(packet: bytes, start: int, protocol: int) -> bytes:
    """Compute the one's complement sum of the pseudo-header, word by word."""
    addresses = packet[12:20] if packet[0] >> 4 == 4 else packet[8:40]
    words = [int.from_bytes(addresses[i : i + 2], "big") for i in range(0, len(addresses), 2)]
    total = sum(words) + len(packet) - start + protocol
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total.to_bytes(2, "big")


def without(frame: bytes, start: int, offset: int) -> bytes:
    """Return a frame without its checksum and without the length of its headers, a mere hint."""
    at = 10 + start + offset
    return frame[:2] + frame[4:at] + frame[at + 2 :]


def is_as_scapy_writes_it(packet: bytes) -> bool:
    """Tell whether lengths and checksums are those that scapy computes for the same packet."""
    parsed = (IP if packet[0] >> 4 == 4 else IPv6)(packet)
    if IP in parsed:
        del parsed[IP].len, parsed[IP].chksum
    else:
        del parsed[IPv6].plen
    for transport in (TCP, UDP):
        if transport in parsed:
            del parsed[transport].chksum
    if UDP in parsed:
        del parsed[UDP].len
    return bytes(parsed) == packet
