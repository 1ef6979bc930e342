"""The little that a tunnel reads of the packets inside it: RFC 791, RFC 8200."""

from fs_tunnel.errors import MalformedMessage

_V4_HEADER = 20
_V6_HEADER = 40


def parse_inner_untrusted(packet: bytes) -> tuple[bytes, bytes, int]:
    """Return source, destination (4 or 16 bytes each) and the length without padding.

    MalformedMessage where the version is unknown, or a length says more than there is.
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
    raise MalformedMessage(f"no IP packet: version {version}, {size} bytes")
