# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The Binding request of STUN (RFC 8489): it tells the address under which others see a socket.

A request is padded to the size of the largest answer, and a shorter request gets no answer.  So no
answer is larger than its request.  An attacker that forges the source of requests gains nothing.
"""

from ipaddress import ip_address
from struct import Struct, pack

from fs_wire.errors import Malformed
from fs_wire.types import Endpoint

PORT = 3478  # section 18.6
TRANSACTION_LEN = 12
REQUEST_LEN = 44  # the length of an answer with an IPv6 address
MAX_LEN = 548  # bytes of a message: the limit of section 6.1 if the path's MTU is not known

_REQUEST, _SUCCESS = 0x0001, 0x0101
_MAGIC = 0x2112A442
# XOR-MAPPED-ADDRESS has the answer.  SOFTWARE is the padding, because a server may ignore it.
_MAPPED, _SOFTWARE = 0x0020, 0x8022
_header = Struct("!HHI12s")
_attribute = Struct("!HH")
_FAMILIES = {1: 4, 2: 16}  # bytes of an address

assert _header.size + _attribute.size + 4 + 16 == REQUEST_LEN


def is_answer(data: bytes) -> bool:
    """Whether a datagram claims to be an answer; no message of WireGuard begins like that."""
    return data[:2] == b"\x01\x01" and data[4:8] == _MAGIC.to_bytes(4, "big")


def request(transaction: bytes) -> bytes:
    """Return a request of ``REQUEST_LEN`` bytes; ``transaction`` is 12 random bytes."""
    padding = REQUEST_LEN - _header.size - _attribute.size
    attribute = _attribute.pack(_SOFTWARE, padding) + bytes(padding)
    return _header.pack(_REQUEST, len(attribute), _MAGIC, transaction) + attribute


def answer(transaction: bytes, seen: Endpoint) -> bytes:
    """Return the answer for a request from ``seen``: 32 bytes for IPv4, 44 for IPv6."""
    packed = ip_address(seen.ip).packed
    family = 1 if len(packed) == 4 else 2
    port = seen.port ^ _MAGIC >> 16
    value = pack("!xBH", family, port) + _masked(packed, transaction)
    attribute = _attribute.pack(_MAPPED, len(value)) + value
    return _header.pack(_SUCCESS, len(attribute), _MAGIC, transaction) + attribute


def parse_request_untrusted(data: bytes) -> bytes:
    """Return the transaction of a request, 12 bytes.

    Raise Malformed if it is no request, or if it is too short to be answered.
    """
    transaction, _ = _parse_untrusted(data, _REQUEST)
    if len(data) < REQUEST_LEN:
        raise Malformed("a request is shorter than its answer may be; pad it to 44 bytes")
    return transaction


def parse_answer_untrusted(data: bytes) -> tuple[bytes, Endpoint]:
    """Return the transaction of an answer, and the endpoint in it; raise Malformed if none is."""
    transaction, attributes = _parse_untrusted(data, _SUCCESS)
    value = attributes.get(_MAPPED, b"")
    length = _FAMILIES.get(value[1]) if len(value) > 4 else None
    if length is None or len(value) != 4 + length:
        raise Malformed("an answer names no address; ask another server")
    port = int.from_bytes(value[2:4], "big") ^ _MAGIC >> 16
    if port == 0:
        raise Malformed("an answer names port 0; ask another server")
    return transaction, Endpoint(str(ip_address(_masked(value[4:], transaction))), port)


def _parse_untrusted(data: bytes, kind: int) -> tuple[bytes, dict[int, bytes]]:
    """Return transaction and attributes; the first attribute of a type counts (section 14)."""
    if not _header.size <= len(data) <= MAX_LEN:
        raise Malformed("a message of STUN has another size")
    said, length, magic, transaction = _header.unpack_from(data)
    if (said, magic, length) != (kind, _MAGIC, len(data) - _header.size) or length % 4:
        raise Malformed("this is not the expected message of STUN")
    attributes: dict[int, bytes] = {}
    position = _header.size
    while position < len(data):
        name, length = _attribute.unpack_from(data, position)
        position += _attribute.size
        if length > len(data) - position:
            raise Malformed("an attribute is longer than its message")
        attributes.setdefault(name, data[position : position + length])
        position += length + -length % 4
    return transaction, attributes


def _masked(packed: bytes, transaction: bytes) -> bytes:
    """Mask an address with magic cookie and transaction (section 14.2).

    So no NAT recognizes the address and rewrites it.
    """
    mask = _MAGIC.to_bytes(4, "big") + transaction
    return bytes(each ^ other for each, other in zip(packed, mask, strict=False))
