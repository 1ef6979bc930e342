# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The market's records: kinds of fields that only the market has, and its error for bad bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar

from fs_market.core.wire.ethereum import ADDRESS_LEN, Address, keccak
from fs_market.errors import MalformedMessage
from fs_wire import codec, schema
from fs_wire.codec import Value
from fs_wire.errors import Malformed
from fs_wire.schema import (
    U16,
    U32,
    U48,
    U64,
    BaseUnits,
    Bytes,
    Flag,
    Hash,
    Ip,
    Ips,
    ListOf,
    Record,
    UdpEndpoint,
    WireGuardKey,
    to_bytes,
    to_value,
)

__all__ = [
    "U16",
    "U32",
    "U48",
    "U64",
    "Account",
    "BaseUnits",
    "Digested",
    "Flag",
    "Hash",
    "Ip",
    "Ips",
    "ListOf",
    "Record",
    "Signature",
    "UdpEndpoint",
    "WireGuardKey",
    "decode_untrusted",
    "from_bytes_untrusted",
    "from_value_untrusted",
    "to_bytes",
    "to_value",
]


class _Address:
    def to_value(self, field: Address) -> Value:
        return field.raw

    def from_value_untrusted(self, value: Value) -> Address:
        return Address(Bytes(ADDRESS_LEN).from_value_untrusted(value))


class Digested:
    """A record that is named by the hash of all its fields."""

    __slots__ = ()

    @property
    def digest(self) -> bytes:
        """The hash of every field: 32 bytes."""
        return keccak(to_bytes(self))


Signature = Annotated[bytes, Bytes(65)]
Account = Annotated[Address, _Address()]

T = TypeVar("T")


def decode_untrusted(data: bytes) -> Value:
    """Return the value that ``encode`` turns into exactly these bytes.

    Raise MalformedMessage if there is none.
    """
    with _refused():
        return codec.decode_untrusted(data)


def from_value_untrusted(record: type[T], value: Value) -> T:
    """Return the record that ``to_value`` turns into this array.

    Raise MalformedMessage if there is none.
    """
    with _refused():
        return schema.from_value_untrusted(record, value)


def from_bytes_untrusted(record: type[T], data: bytes) -> T:
    """Return the record that ``to_bytes`` turns into exactly these bytes.

    Raise MalformedMessage if there is none.
    """
    with _refused():
        return schema.from_bytes_untrusted(record, data)


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except Malformed as error:
        raise MalformedMessage(str(error)) from None
