# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Cuts frames of a TUN with offloads into packets, and joins packets into frames.

A frame is a ``virtio_net_hdr`` of 10 bytes and an IP packet (Linux, include/uapi/linux/
virtio_net.h).  The C code follows the same rules, and tests compare the two byte for byte.

Cutting.  A frame without segmentation is one packet.  If NEEDS_CSUM is set, its checksum must be
completed: the one's complement sum from ``csum_start`` to the end is stored, complemented, at
``csum_offset`` after ``csum_start`` (0 as 0xffff).

A frame with segmentation becomes one packet for each ``gso_size`` bytes of payload, and the headers
are repeated before each.  Lengths and checksums are computed anew, and an IPv4 identification
counts up.  In TCP, the sequence number moves on, CWR stays on the first segment only, and FIN and
PSH on the last only.  ``hdr_len`` is not used.  Bytes beyond the length in the IP header are cut
off.

Joining.  Consecutive packets become one frame if all of this is true:

- They are TCP segments whose flags are ACK, and perhaps PSH on the last; or they are UDP datagrams
  with a checksum.
- Their headers are equal, except for lengths, checksums, the IPv4 identification (that of the first
  stays), sequence numbers and PSH.
- They are not fragmented.  IPv4 has DF set and no options; IPv6 has no extension headers.
- TCP sequence numbers are contiguous.
- Each has as much payload as the first.  The last may have less, but none is empty.
- All checksums verify, because nobody looks at them afterwards.
- There are at most 128 packets, and 65535 bytes together.

The checksum of a joined frame is that of the pseudo-header alone, as NEEDS_CSUM demands.  Every
other packet stays a frame of its own, with a header of zeroes.
"""

from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple

from fs_tunnel.proto.errors import MalformedMessage
from fs_tunnel.proto.ip import parse_inner_untrusted

FRAME_HEADER_LEN = 10
MAX_PACKET = 65535
MAX_JOINED = 128  # packets

_header = Struct("=BBHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
assert _header.size == FRAME_HEADER_LEN
PLAIN = bytes(FRAME_HEADER_LEN)  # the header of a packet without offloads

_NEEDS_CSUM = 1
_GSO_NONE, _GSO_TCPV4, _GSO_TCPV6, _GSO_UDP_L4, _GSO_ECN = 0, 1, 4, 5, 0x80
_GSO_VERSIONS = {_GSO_TCPV4: (4,), _GSO_TCPV6: (6,), _GSO_UDP_L4: (4, 6)}

_MAX_HEADERS = 128  # of IP and transport together
_V4_HEADER = 20
_V6_HEADER = 40
_DONT_FRAGMENT = b"\x40\x00"
_TCP, _UDP = 6, 17
_TCP_HEADER, _UDP_HEADER = 20, 8
_TCP_FLAGS = 13  # the offset of the flags in the TCP header
_FIN, _PSH, _ACK, _CWR = 0x01, 0x08, 0x10, 0x80
_CHECKSUM_AT = {_TCP: 16, _UDP: 6}


def segment(frame: bytes) -> list[bytes]:
    """Return the packets of a frame; raise MalformedMessage if header and packet do not agree."""
    if len(frame) < FRAME_HEADER_LEN:
        raise MalformedMessage("a frame is shorter than its header")
    flags, gso_type, _, gso_size, start, offset = _header.unpack_from(frame)
    *_, length = parse_inner_untrusted(frame[FRAME_HEADER_LEN:])
    packet = frame[FRAME_HEADER_LEN : FRAME_HEADER_LEN + length]
    if gso_type != _GSO_NONE:
        if not flags & _NEEDS_CSUM:
            raise MalformedMessage("a frame with segmentation has no NEEDS_CSUM")
        return _cut(packet, gso_type & ~_GSO_ECN, gso_size, start, offset)
    if flags & _NEEDS_CSUM:
        return [_completed(packet, start, offset)]
    return [packet]


def coalesce(packets: Iterable[bytes], *, udp: bool = True) -> list[bytes]:
    """Return the frames that carry ``packets``; ``udp`` says if the kernel takes joined UDP."""
    frames: list[bytes] = []
    group: list[_Segment] = []
    for packet in packets:
        examined = _examine(packet)
        if examined is not None and group and _may_follow(group, examined, udp):
            group.append(examined)
            continue
        if group:
            frames.append(_joined(group))
        group = [] if examined is None else [examined]
        if examined is None:
            frames.append(PLAIN + packet)
    if group:
        frames.append(_joined(group))
    return frames


# Cutting.


def _cut(packet: bytes, gso_type: int, size: int, start: int, offset: int) -> list[bytes]:
    version = packet[0] >> 4
    if version not in _GSO_VERSIONS.get(gso_type, ()):
        raise MalformedMessage(f"a frame of type {gso_type} does not hold IPv{version}")
    protocol = _UDP if gso_type == _GSO_UDP_L4 else _TCP
    ip_header = _ip_header(packet)
    # IPv6 may have extension headers before the transport header.  IPv4 says where that begins.
    if start < ip_header or (version == 4 and (start != ip_header or packet[9] != protocol)):
        raise MalformedMessage("a frame's csum_start is not at its transport header")
    headers = start + _UDP_HEADER
    if protocol == _TCP:
        if start + _TCP_HEADER > len(packet):
            raise MalformedMessage("a frame ends in its TCP header")
        headers = start + (packet[start + 12] >> 4) * 4
        if headers < start + _TCP_HEADER:
            raise MalformedMessage("a frame's TCP header is too short")
    if offset != _CHECKSUM_AT[protocol] or headers > min(_MAX_HEADERS, len(packet) - 1) or not size:
        raise MalformedMessage("a frame's header contradicts its packet")
    return [
        _one_segment(packet, protocol, start, headers, at, size)
        for at in range(headers, len(packet), size)
    ]


def _one_segment(
    packet: bytes, protocol: int, start: int, headers: int, at: int, size: int
) -> bytes:
    """Return the segment whose payload begins at offset ``at`` of the frame's packet."""
    whole = bytearray(packet[:headers] + packet[at : at + size])
    passed = at - headers
    if packet[0] >> 4 == 4:
        _add(whole, 4, 2, passed // size)
    _set_length(whole, len(whole))
    if protocol == _TCP:
        _add(whole, start + 4, 4, passed)
        if passed:
            whole[start + _TCP_FLAGS] &= ~_CWR & 0xFF
        if at + size < len(packet):
            whole[start + _TCP_FLAGS] &= ~(_FIN | _PSH) & 0xFF
    else:
        whole[start + 4 : start + 6] = (len(whole) - start).to_bytes(2, "big")
    checksum_at = start + _CHECKSUM_AT[protocol]
    whole[checksum_at : checksum_at + 2] = bytes(2)
    checksum = -(_pseudo_header(whole, protocol, start) + _number(whole[start:])) % 0xFFFF
    if protocol == _UDP and checksum == 0:
        checksum = 0xFFFF  # 0 stands for no checksum
    whole[checksum_at : checksum_at + 2] = checksum.to_bytes(2, "big")
    return bytes(whole)


def _completed(packet: bytes, start: int, offset: int) -> bytes:
    at = start + offset
    if start < _ip_header(packet) or at + 2 > len(packet):
        raise MalformedMessage("a frame's checksum is outside of its payload")
    # In the place of the checksum is the sum of the pseudo-header: it belongs to the whole sum.
    checksum = 0xFFFF - _number(packet[start:]) % 0xFFFF
    return packet[:at] + checksum.to_bytes(2, "big") + packet[at + 2 :]


# Joining.


class _Segment(NamedTuple):
    """A packet that may be joined with others."""

    packet: bytes
    protocol: int
    transport: int  # offset of the transport header
    headers: int  # bytes before the payload
    flow: bytes  # the header bytes that must be equal
    sequence: int  # of TCP; 0 for UDP
    is_pushed: bool

    @property
    def payload(self) -> int:
        """Bytes of payload."""
        return len(self.packet) - self.headers


def _examine(packet: bytes) -> _Segment | None:
    """Return what joining needs to know of a packet; None if it is never joined."""
    try:
        *_, length = parse_inner_untrusted(packet)
    except MalformedMessage:
        return None
    packet = packet[:length]
    start = _ip_header(packet)
    if packet[0] >> 4 == 4:
        if start != _V4_HEADER or packet[6:8] != _DONT_FRAGMENT:
            return None
        protocol, flow = packet[9], packet[:2] + packet[6:10] + packet[12:20]
    else:
        protocol, flow = packet[6], packet[:4] + packet[6:40]
    transport = packet[start:]
    flow += transport[:4]
    if protocol == _TCP and len(transport) > _TCP_HEADER:
        header = (transport[12] >> 4) * 4
        flags = transport[_TCP_FLAGS]
        if not _TCP_HEADER <= header < len(transport) or transport[12] & 0xF:
            return None
        if flags & ~_PSH != _ACK:
            return None
        flow += transport[8:13] + transport[14:16] + transport[18:header]
        sequence = int.from_bytes(transport[4:8], "big")
        return _Segment(packet, _TCP, start, start + header, flow, sequence, bool(flags & _PSH))
    if protocol == _UDP and len(transport) > _UDP_HEADER:
        if int.from_bytes(transport[4:6], "big") != len(transport) or not any(transport[6:8]):
            return None
        return _Segment(packet, _UDP, start, start + _UDP_HEADER, flow, 0, False)
    return None


def _may_follow(group: list[_Segment], candidate: _Segment, udp: bool) -> bool:
    first, last = group[0], group[-1]
    size = first.payload
    return (
        candidate.flow == first.flow
        and len(group) < MAX_JOINED
        and not last.is_pushed
        and last.payload == size >= candidate.payload
        and first.headers + len(group) * size + candidate.payload <= MAX_PACKET
        and (
            candidate.sequence == (last.sequence + size) % 2**32 if first.protocol == _TCP else udp
        )
        and (len(group) > 1 or _verifies(first))
        and _verifies(candidate)
    )


def _verifies(candidate: _Segment) -> bool:
    packet, start = candidate.packet, candidate.transport
    if packet[0] >> 4 == 4 and _number(packet[:start]) % 0xFFFF:
        return False
    pseudo_header = _pseudo_header(packet, candidate.protocol, start)
    return (pseudo_header + _number(packet[start:])) % 0xFFFF == 0


def _joined(group: list[_Segment]) -> bytes:
    first = group[0]
    if len(group) == 1:
        return PLAIN + first.packet
    start, protocol = first.transport, first.protocol
    payloads = (each.packet[each.headers :] for each in group[1:])
    whole = bytearray(b"".join((first.packet, *payloads)))
    _set_length(whole, len(whole))
    if protocol == _TCP:
        gso_type = _GSO_TCPV4 if whole[0] >> 4 == 4 else _GSO_TCPV6
        whole[start + _TCP_FLAGS] |= group[-1].packet[start + _TCP_FLAGS]
    else:
        gso_type = _GSO_UDP_L4
        whole[start + 4 : start + 6] = (len(whole) - start).to_bytes(2, "big")
    offset = _CHECKSUM_AT[protocol]
    partial = _pseudo_header(whole, protocol, start) % 0xFFFF or 0xFFFF
    whole[start + offset : start + offset + 2] = partial.to_bytes(2, "big")
    head = _header.pack(_NEEDS_CSUM, gso_type, first.headers, first.payload, start, offset)
    return head + bytes(whole)


# Shared by both.


def _ip_header(packet: bytes | bytearray) -> int:
    """Return the bytes of the IP header, without IPv6 extension headers."""
    return (packet[0] & 0xF) * 4 if packet[0] >> 4 == 4 else _V6_HEADER


def _set_length(packet: bytearray, length: int) -> None:
    """Write the length into the IP header, and compute the checksum of an IPv4 header anew."""
    if packet[0] >> 4 == 6:
        packet[4:6] = (length - _V6_HEADER).to_bytes(2, "big")
        return
    packet[2:4] = length.to_bytes(2, "big")
    packet[10:12] = bytes(2)
    packet[10:12] = (-_number(packet[: _ip_header(packet)]) % 0xFFFF).to_bytes(2, "big")


def _add(packet: bytearray, at: int, size: int, more: int) -> None:
    """Add to a big-endian number of ``size`` bytes, which may wrap around."""
    number = int.from_bytes(packet[at : at + size], "big") + more
    packet[at : at + size] = (number % 2 ** (8 * size)).to_bytes(size, "big")


def _number(data: bytes | bytearray) -> int:
    """Return a number that is, modulo 0xffff, the one's complement sum of 16-bit words."""
    return int.from_bytes(data, "big") << 8 * (len(data) % 2)


def _pseudo_header(packet: bytes | bytearray, protocol: int, start: int) -> int:
    addresses = packet[12:20] if packet[0] >> 4 == 4 else packet[8:40]
    return _number(addresses) + len(packet) - start + protocol
