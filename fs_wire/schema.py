# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Records as arrays: the type of each field defines its valid values, and this module checks them.

A record is a frozen dataclass.  The annotation of each field has a kind: ``Annotated[int,
Uint(32)]`` or one of the names below.  ``to_value`` turns a record into the array of its fields,
and ``from_value_untrusted`` turns an array into a record.
"""

from dataclasses import dataclass, fields, is_dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Any, Protocol, TypeVar, get_args, get_type_hints

from fs_wire.codec import MAX_BYTES, Value, decode_untrusted, encode
from fs_wire.errors import Malformed
from fs_wire.types import KEY_LEN, Endpoint, IPAddress, PublicKey

HASH_LEN = 32
_AMOUNT_LEN = 12


class Kind(Protocol):
    """Translates between a field and its value in CBOR."""

    def to_value(self, field: Any) -> Value: ...

    def from_value_untrusted(self, value: Value) -> Any:
        """Return the field; raise Malformed if the value does not fit."""
        ...


@dataclass(frozen=True)
class Uint:
    """An unsigned number of ``bits`` bits, at most 64."""

    bits: int

    def to_value(self, field: int) -> Value:
        return field

    def from_value_untrusted(self, value: Value) -> int:
        if type(value) is not int or not 0 <= value < 1 << self.bits:
            raise _malformed(f"a number of {self.bits} bits")
        return value


class _Amount:
    """Base units: 96 bits as 12 bytes, because a number in CBOR has at most 64 bits."""

    def to_value(self, field: int) -> Value:
        return field.to_bytes(_AMOUNT_LEN, "big")

    def from_value_untrusted(self, value: Value) -> int:
        return int.from_bytes(_bytes(value, _AMOUNT_LEN), "big")


class _Flag:
    def to_value(self, field: bool) -> Value:
        return field

    def from_value_untrusted(self, value: Value) -> bool:
        if type(value) is not bool:
            raise _malformed("a boolean")
        return value


@dataclass(frozen=True)
class BytesUpTo:
    """A byte string of at most ``most`` bytes."""

    most: int

    def to_value(self, field: bytes) -> Value:
        return field

    def from_value_untrusted(self, value: Value) -> bytes:
        if type(value) is not bytes or len(value) > self.most:
            raise _malformed(f"at most {self.most} bytes")
        return value


@dataclass(frozen=True)
class Bytes:
    """A byte string of exactly ``length`` bytes."""

    length: int

    def to_value(self, field: bytes) -> Value:
        return field

    def from_value_untrusted(self, value: Value) -> bytes:
        return _bytes(value, self.length)


class _WireGuardKey:
    def to_value(self, field: PublicKey) -> Value:
        return field.raw

    def from_value_untrusted(self, value: Value) -> PublicKey:
        return PublicKey(_bytes(value, KEY_LEN))


class _Ip:
    """An IP address: 4 or 16 bytes."""

    def to_value(self, field: IPAddress) -> Value:
        return field.packed

    def from_value_untrusted(self, value: Value) -> IPAddress:
        if type(value) is not bytes or len(value) not in (4, 16):
            raise _malformed("an IP address")
        return IPv4Address(value) if len(value) == 4 else IPv6Address(value)


class _Endpoint:
    """An address and a port, without a scope, which means nothing on another host."""

    def to_value(self, field: Endpoint) -> Value:
        return [ip_address(field.ip).packed, field.port]

    def from_value_untrusted(self, value: Value) -> Endpoint:
        if type(value) is not list or len(value) != 2:
            raise _malformed("an endpoint")
        port = Uint(16).from_value_untrusted(value[1])
        if port == 0:
            raise _malformed("a port")
        return Endpoint(str(_Ip().from_value_untrusted(value[0])), port)


@dataclass(frozen=True)
class ListOf:
    """At most ``most`` items of a kind; the record has a tuple."""

    kind: Kind
    most: int

    def to_value(self, field: tuple[Any, ...]) -> Value:
        return [self.kind.to_value(each) for each in field]

    def from_value_untrusted(self, value: Value) -> tuple[Any, ...]:
        if type(value) is not list or len(value) > self.most:
            raise _malformed(f"a list of at most {self.most}")
        return tuple(self.kind.from_value_untrusted(each) for each in value)


@dataclass(frozen=True)
class Record:
    """A record inside a record."""

    record: type

    def to_value(self, field: Any) -> Value:
        return to_value(field)

    def from_value_untrusted(self, value: Value) -> Any:
        return from_value_untrusted(self.record, value)


U16 = Annotated[int, Uint(16)]
U32 = Annotated[int, Uint(32)]
U48 = Annotated[int, Uint(48)]
U64 = Annotated[int, Uint(64)]
BaseUnits = Annotated[int, _Amount()]
Flag = Annotated[bool, _Flag()]
Hash = Annotated[bytes, Bytes(HASH_LEN)]
WireGuardKey = Annotated[PublicKey, _WireGuardKey()]
Ip = Annotated[IPAddress, _Ip()]
UdpEndpoint = Annotated[Endpoint, _Endpoint()]
Ips = Annotated[tuple[IPAddress, ...], ListOf(_Ip(), 4)]
Endpoints = Annotated[tuple[Endpoint, ...], ListOf(_Endpoint(), 4)]

T = TypeVar("T")

_KINDS: dict[type[Any], tuple[tuple[str, Kind], ...]] = {}  # the kinds of each record seen so far


def to_value(record: Any) -> list[Any]:
    """Return the array of a record's fields."""
    return [kind.to_value(getattr(record, name)) for name, kind in _kinds(type(record))]


def from_value_untrusted(record: type[T], value: Value) -> T:
    """Return the record that ``to_value`` turns into this array; raise Malformed if none does."""
    kinds = _kinds(record)
    if type(value) is not list or len(value) != len(kinds):
        raise _malformed(f"{len(kinds)} fields of {record.__name__}")
    return record(
        *(kind.from_value_untrusted(each) for (_, kind), each in zip(kinds, value, strict=True))
    )


def to_bytes(record: Any) -> bytes:
    """Return the canonical CBOR of a record."""
    return encode(to_value(record))


def from_bytes_untrusted(record: type[T], data: bytes, most: int = MAX_BYTES) -> T:
    """Return the record that ``to_bytes`` turns into exactly these bytes.

    Raise Malformed if there is none, or if there are more than ``most`` bytes.
    """
    return from_value_untrusted(record, decode_untrusted(data, most))


def _kinds(record: type[Any]) -> tuple[tuple[str, Kind], ...]:
    found = _KINDS.get(record)
    if found is None:
        hints = get_type_hints(record, include_extras=True)
        found = tuple((field.name, _kind(hints[field.name])) for field in fields(record))
        _KINDS[record] = found
    return found


def _kind(hint: Any) -> Kind:
    if is_dataclass(hint):
        assert isinstance(hint, type)
        return Record(hint)
    kind: Kind = get_args(hint)[1]
    return kind


def _bytes(value: Value, length: int) -> bytes:
    if type(value) is not bytes or len(value) != length:
        raise _malformed(f"{length} bytes")
    return value


def _malformed(expected: str) -> Malformed:
    return Malformed(
        f"a message lacks {expected}; use the same version of the program on both sides"
    )
