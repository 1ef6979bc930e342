# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""WireGuard's four messages, as bytes and as objects.

Integers are little-endian.  A message begins with one byte for its type, and three reserved zero
bytes.  Source: WireGuard paper, section 5.4.
"""

from dataclasses import dataclass
from struct import Struct

from fs_tunnel.proto.errors import MalformedMessage

INITIATION_TYPE = 1
RESPONSE_TYPE = 2
COOKIE_REPLY_TYPE = 3
TRANSPORT_TYPE = 4

KEY_LEN = 32
TAG_LEN = 16
MAC_LEN = 16
TIMESTAMP_LEN = 12
COOKIE_LEN = 16
COOKIE_NONCE_LEN = 24
_NO_MAC = bytes(MAC_LEN)

_macs = f"{MAC_LEN}s{MAC_LEN}s"
_initiation = Struct(f"<II{KEY_LEN}s{KEY_LEN + TAG_LEN}s{TIMESTAMP_LEN + TAG_LEN}s{_macs}")
_response = Struct(f"<III{KEY_LEN}s{TAG_LEN}s{_macs}")
_cookie_reply = Struct(f"<II{COOKIE_NONCE_LEN}s{COOKIE_LEN + TAG_LEN}s")
_transport = Struct("<IIQ")

INITIATION_LEN = _initiation.size
RESPONSE_LEN = _response.size
COOKIE_REPLY_LEN = _cookie_reply.size
TRANSPORT_HEADER_LEN = _transport.size
MIN_TRANSPORT_LEN = TRANSPORT_HEADER_LEN + TAG_LEN
assert (INITIATION_LEN, RESPONSE_LEN, COOKIE_REPLY_LEN, MIN_TRANSPORT_LEN) == (148, 92, 64, 32)


@dataclass(frozen=True, slots=True)
class Initiation:
    """The first message of a handshake (section 5.4.2)."""

    sender: int
    unencrypted_ephemeral: bytes
    encrypted_static: bytes
    encrypted_timestamp: bytes
    mac1: bytes = _NO_MAC
    mac2: bytes = _NO_MAC

    def to_bytes(self) -> bytes:
        return _initiation.pack(
            INITIATION_TYPE,
            self.sender,
            self.unencrypted_ephemeral,
            self.encrypted_static,
            self.encrypted_timestamp,
            self.mac1,
            self.mac2,
        )


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to an initiation (section 5.4.3)."""

    sender: int
    receiver: int
    unencrypted_ephemeral: bytes
    encrypted_nothing: bytes
    mac1: bytes = _NO_MAC
    mac2: bytes = _NO_MAC

    def to_bytes(self) -> bytes:
        return _response.pack(
            RESPONSE_TYPE,
            self.sender,
            self.receiver,
            self.unencrypted_ephemeral,
            self.encrypted_nothing,
            self.mac1,
            self.mac2,
        )


@dataclass(frozen=True, slots=True)
class CookieReply:
    """The answer of a device under load: a cookie in place of a handshake (section 5.4.7)."""

    receiver: int
    nonce: bytes
    encrypted_cookie: bytes

    def to_bytes(self) -> bytes:
        return _cookie_reply.pack(
            COOKIE_REPLY_TYPE, self.receiver, self.nonce, self.encrypted_cookie
        )


@dataclass(frozen=True, slots=True)
class TransportHeader:
    """The header of a transport message, before the sealed packet (section 5.4.6)."""

    receiver: int
    counter: int

    def to_bytes(self) -> bytes:
        return transport_header(self.receiver, self.counter)


def transport_header(receiver: int, counter: int) -> bytes:
    """Return the 16 bytes before a sealed packet, without making an object first."""
    return _transport.pack(TRANSPORT_TYPE, receiver, counter)


def parse_untrusted(data: bytes) -> Initiation | Response | CookieReply | TransportHeader:
    """Return the message in a datagram; of a transport message, return the header alone.

    Raise MalformedMessage if the type is unknown, the length is wrong, or reserved bytes are set.
    """
    length = len(data)
    # The type and the reserved bytes are read as one integer: both are checked at once.
    kind = int.from_bytes(data[:4], "little")
    if kind == TRANSPORT_TYPE and length >= MIN_TRANSPORT_LEN:
        _, receiver, counter = _transport.unpack_from(data)
        return TransportHeader(receiver, counter)
    if kind == INITIATION_TYPE and length == INITIATION_LEN:
        return Initiation(*_initiation.unpack(data)[1:])
    if kind == RESPONSE_TYPE and length == RESPONSE_LEN:
        return Response(*_response.unpack(data)[1:])
    if kind == COOKIE_REPLY_TYPE and length == COOKIE_REPLY_LEN:
        return CookieReply(*_cookie_reply.unpack(data)[1:])
    raise MalformedMessage(f"this is no WireGuard message: type {kind:#x}, {length} bytes")
