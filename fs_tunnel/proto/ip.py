# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The header fields that a tunnel reads in the packets inside it: RFC 791, 8200 and 9293."""

from fs_tunnel.proto.errors import MalformedMessage

_V4_HEADER = 20
_V6_HEADER = 40
_TCP = 6
_TCP_PORTS = 4  # bytes


def parse_inner_untrusted(packet: bytes) -> tuple[bytes, bytes, int]:
    """Return source, destination (4 or 16 bytes each) and the length in bytes, without padding.

    Raise MalformedMessage if the version is unknown, or if a length field exceeds the packet.
    """
    size = len(packet)
    version = packet[0] >> 4 if size else 0
    if version == 4 and size >= _V4_HEADER:
        header = (packet[0] & 0xF) * 4
        length = packet[2] << 8 | packet[3]
        if _V4_HEADER <= header <= length <= size:
            return packet[12:16], packet[16:20], length
    elif version == 6 and size >= _V6_HEADER:
        length = _V6_HEADER + (packet[4] << 8 | packet[5])
        if length <= size:
            return packet[8:24], packet[24:40], length
    raise MalformedMessage(f"this is no IP packet: version {version}, {size} bytes")


def tcp_ports(packet: bytes) -> tuple[int, int] | None:
    """Return source and destination port of a parsed packet; None if it shows no TCP ports.

    A later fragment shows none, and neither does IPv6 with extension headers.
    """
    if packet[0] >> 4 == 4:
        header, protocol = (packet[0] & 0xF) * 4, packet[9]
        is_later_fragment = (packet[6] << 8 | packet[7]) & 0x1FFF
        if is_later_fragment:
            return None
    else:
        header, protocol = _V6_HEADER, packet[6]
    if protocol != _TCP or len(packet) < header + _TCP_PORTS:
        return None
    source, destination = packet[header : header + 2], packet[header + 2 : header + 4]
    return int.from_bytes(source, "big"), int.from_bytes(destination, "big")
