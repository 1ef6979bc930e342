# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Keys and endpoints: the vocabulary that every package of the project may import.

Secret keys hide their bytes from ``repr``, and therefore from logs and tracebacks.
"""

import base64
import binascii
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

from fs_wire.errors import UsageError

KEY_LEN = 32

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, repr=False)
class _Key:
    """32 raw bytes; people write them as base64, and the UAPI as hexadecimal.

    Raise UsageError for another length.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_LEN:
            raise UsageError(
                f"a key has {KEY_LEN} bytes, not {len(self.raw)}; make one with genkey"
            )

    @classmethod
    def from_base64(cls, text: str) -> Self:
        """Parse the 44 characters that ``wg genkey`` writes; raise UsageError otherwise."""
        try:
            raw = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        # b64decode accepts stray bits in the last character, but the canonical form has none.
        if len(raw) != KEY_LEN or base64.b64encode(raw).decode() != text:
            raise UsageError("a key has 44 characters of base64 and ends in '='; copy it whole")
        return cls(raw)

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Parse the 64 hexadecimal characters of the UAPI; raise UsageError otherwise."""
        try:
            raw = bytes.fromhex(text)
        except ValueError:
            raw = b""
        if len(raw) != KEY_LEN or len(text) != 2 * KEY_LEN:
            raise UsageError("a key has 64 hexadecimal characters; copy it whole")
        return cls(raw)

    def to_base64(self) -> str:
        """Return the 44 characters of base64."""
        return base64.b64encode(self.raw).decode()

    def to_hex(self) -> str:
        """Return the 64 hexadecimal characters."""
        return self.raw.hex()


class PrivateKey(_Key):
    """An X25519 private key."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "PrivateKey(hidden)"


class PresharedKey(_Key):
    """The symmetric key in a handshake; it is all zeroes if none is configured."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "PresharedKey(hidden)"


class PublicKey(_Key):
    """An X25519 public key, which names a peer."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"PublicKey({self.to_base64()})"


NO_PRESHARED_KEY = PresharedKey(bytes(KEY_LEN))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An IP address and a port.

    ``scope_id`` is the interface index of a link-local IPv6 address, and 0 otherwise.
    """

    ip: str
    port: int
    scope_id: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``192.0.2.1:51820`` or ``[2001:db8::1]:51820``; raise UsageError otherwise."""
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        host, percent, scope = (host[1:-1] if bracketed else host).partition("%")
        try:
            address = ip_address(host)
            if not colon or bracketed != (address.version == 6) or (percent and not bracketed):
                raise ValueError
            number, scope_id = _digits(port, 2**16), _digits(scope, 2**32) if percent else 0
            if number == 0:
                raise ValueError
        except ValueError:
            raise UsageError(
                f"{text!r} is not an endpoint; write 192.0.2.1:51820 or [2001:db8::1]:51820"
            ) from None
        return cls(str(address), number, scope_id)

    def __str__(self) -> str:
        if ":" not in self.ip:
            return f"{self.ip}:{self.port}"
        scope = f"%{self.scope_id}" if self.scope_id else ""
        return f"[{self.ip}{scope}]:{self.port}"


def parse_network(text: str) -> IPNetwork:
    """Parse ``10.0.0.0/8``, or an address alone; raise ValueError otherwise.

    The function clears host bits, as ``wg`` does.  Unlike ipaddress, it accepts no netmask and no
    zone, which could contain any character.
    """
    address, slash, length = text.partition("/")
    if "%" in address or (slash and not (length.isascii() and length.isdigit())):
        raise ValueError("not a network")
    return ip_network(text, strict=False)


def _digits(text: str, limit: int) -> int:
    """Return a number below ``limit``; int() alone would accept signs, spaces and underscores."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < limit):
        raise ValueError("not a number in range")
    return int(text)
