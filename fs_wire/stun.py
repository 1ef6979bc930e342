"""STUN's Binding alone (RFC 8489): where a socket is seen from outside.

A request is padded to the size of the largest answer, and only such requests are answered: whoever
sends them with another's address as their source gains nothing by it, for no answer is larger than
what it cost him.
"""

from ipaddress import ip_address
from struct import Struct, pack

from fs_wire.errors import Malformed
from fs_wire.types import Endpoint

PORT = 3478  # section 18.6
TRANSACTION_LEN = 12
REQUEST_LEN = 44  # as an answer with an address of IPv6
MAX_LEN = 548  # of what is parsed: section 6.1's limit where the path's MTU is not known

_REQUEST, _SUCCESS = 0x0001, 0x0101
_MAGIC = 0x2112A442
_MAPPED, _SOFTWARE = 0x0020, 0x8022  # XOR-MAPPED-ADDRESS; the latter may be ignored, so it pads
_header = Struct("!HHI12s")
_attribute = Struct("!HH")
_FAMILIES = {1: 4, 2: 16}  # bytes of an address

assert _header.size + _attribute.size + 4 + 16 == REQUEST_LEN


def is_answer(data: bytes) -> bool:
    """Whether a datagram claims to be one; nothing of WireGuard begins like that."""
    return data[:2] == b"\x01\x01" and data[4:8] == _MAGIC.to_bytes(4, "big")


def request(transaction: bytes) -> bytes:
    """A question of ``REQUEST_LEN`` bytes; ``transaction`` is 12 random ones."""
    padding = REQUEST_LEN - _header.size - _attribute.size
    attribute = _attribute.pack(_SOFTWARE, padding) + bytes(padding)
    return _header.pack(_REQUEST, len(attribute), _MAGIC, transaction) + attribute


def answer(transaction: bytes, seen: Endpoint) -> bytes:
    """Where the request came from: 32 bytes, or 44 with an address of IPv6."""
    packed = ip_address(seen.ip).packed
    family = 1 if len(packed) == 4 else 2
    port = seen.port ^ _MAGIC >> 16
    value = pack("!xBH", family, port) + _masked(packed, transaction)
    attribute = _attribute.pack(_MAPPED, len(value)) + value
    return _header.pack(_SUCCESS, len(attribute), _MAGIC, transaction) + attribute


def parse_request_untrusted(data: bytes) -> bytes:
    """The transaction of a request that is large enough to be answered; Malformed otherwise."""
    transaction, _ = _parse_untrusted(data, _REQUEST)
    if len(data) < REQUEST_LEN:
        raise Malformed("a request is smaller than its answer may be; pad it to 44 bytes")
    return transaction


def parse_answer_untrusted(data: bytes) -> tuple[bytes, Endpoint]:
    """Transaction, and the endpoint that was seen; Malformed where there is none."""
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
    """Transaction and attributes, of several with one type the first (section 14)."""
    if not _header.size <= len(data) <= MAX_LEN:
        raise Malformed("no message of STUN has this size")
    said, length, magic, transaction = _header.unpack_from(data)
    if (said, magic, length) != (kind, _MAGIC, len(data) - _header.size) or length % 4:
        raise Malformed("this is no such message of STUN")
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
    """Exclusive or with magic cookie and transaction, so that no NAT rewrites it."""
    mask = _MAGIC.to_bytes(4, "big") + transaction
    return bytes(each ^ other for each, other in zip(packed, mask, strict=False))
