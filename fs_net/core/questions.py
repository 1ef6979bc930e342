# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The questions between peers: one question and one answer on a stream of its own.

    Compare   two full nodes find the records that either lacks (``core.reconcile``)
    Fetch     the sender wants some of these records, by their ids
    Deliver   the sender has records and heartbeats; the answer gives a verdict on each
    Find      the sender wants matching providers, ranked by the full node that is asked

The client checks the signature of everything that ``Find`` returns. A message is an array: version,
type, and the fields of its record. A full node may answer any question with ``Declined``.
"""

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from fs_net.core.batch import MAX_BATCH, MAX_ITEMS
from fs_net.core.matching import Order, Wishes
from fs_net.core.reconcile import MAX_MESSAGE
from fs_net.core.records import ID_LEN, MAX_SIGNED, Service
from fs_net.errors import Reason, Refused
from fs_wire.codec import decode_untrusted, encode
from fs_wire.errors import Malformed
from fs_wire.schema import (
    U16,
    U32,
    BaseUnits,
    Bytes,
    BytesUpTo,
    ListOf,
    Record,
    Uint,
    from_value_untrusted,
    to_value,
)

VERSION = 1
MAX_BYTES = 60 * 1024  # of a question or an answer; a stream takes 64 KiB
MAX_FETCHED = 40  # ids in one question, because 40 records fit into a batch
MAX_FOUND = 32  # providers in one answer
ANY_PRICE = (1 << 96) - 1
UNMEASURED = (1 << 32) - 1

_ORDERS = tuple(Order)  # an order is sent as its index
_REASONS = tuple(Reason)  # a reason is sent as its index plus 1; 0 means that the item was taken
_Batch = Annotated[bytes, BytesUpTo(MAX_BATCH)]
_Reconciliation = Annotated[bytes, BytesUpTo(MAX_MESSAGE)]


@dataclass(frozen=True, slots=True)
class Compare:
    """A message of reconciliation over records."""

    message: _Reconciliation


@dataclass(frozen=True, slots=True)
class Compared:
    """The answer to Compare; it is empty if there is nothing more to compare."""

    message: _Reconciliation


@dataclass(frozen=True, slots=True)
class Fetch:
    """The ids of wanted records; the answer leaves out records that are not held."""

    ids: Annotated[tuple[bytes, ...], ListOf(Bytes(ID_LEN), MAX_FETCHED)]


@dataclass(frozen=True, slots=True)
class Told:
    """The answer to Fetch: a ``batch.Batch``."""

    batch: _Batch


@dataclass(frozen=True, slots=True)
class Deliver:
    """A ``batch.Batch`` for the receiver to judge."""

    batch: _Batch


@dataclass(frozen=True, slots=True)
class Delivered:
    """The answer to Deliver: a verdict on each item, in the order of the batch."""

    codes: Annotated[tuple[int, ...], ListOf(Uint(16), MAX_ITEMS)]

    @classmethod
    def of(cls, reasons: list[Reason | None]) -> "Delivered":
        """Encode what ``batch.take_untrusted`` returns."""
        return cls(tuple(0 if each is None else 1 + _REASONS.index(each) for each in reasons))

    @property
    def reasons(self) -> list[Reason | None]:
        """The decoded reasons; MALFORMED stands for a code that this version does not know."""
        return [
            None
            if code == 0
            else (_REASONS[code - 1] if code <= len(_REASONS) else Reason.MALFORMED)
            for code in self.codes
        ]


@dataclass(frozen=True, slots=True)
class Find:
    """``matching.Wishes`` in wire format, and which part of the ranking to return."""

    countries: Annotated[tuple[bytes, ...], ListOf(Bytes(2), 64)]
    max_per_gib: BaseUnits  # ANY_PRICE: any
    max_per_hour: BaseUnits
    min_uptime: U32  # parts of a million
    min_free_slots: U32
    services: U16
    ports: Annotated[tuple[int, ...], ListOf(Uint(16), 32)]
    skip: U16 = 0
    ranking: U16 = 0

    @classmethod
    def of(cls, wishes: Wishes, skip: int = 0, order: Order = Order.BEST) -> "Find":
        """Encode wishes; the answer starts at the index ``skip`` of the ranking by ``order``."""
        return cls(
            tuple(sorted(wishes.countries)),
            ANY_PRICE if wishes.max_per_gib is None else wishes.max_per_gib,
            ANY_PRICE if wishes.max_per_hour is None else wishes.max_per_hour,
            wishes.min_uptime,
            wishes.min_free_slots,
            wishes.services,
            tuple(sorted(wishes.ports)),
            skip,
            _ORDERS.index(order),
        )

    @property
    def order(self) -> Order:
        """The order of the ranking; BEST if this version does not know the order."""
        return _ORDERS[self.ranking] if self.ranking < len(_ORDERS) else Order.BEST

    @property
    def wishes(self) -> Wishes:
        """The decoded wishes."""
        return Wishes(
            frozenset(self.countries),
            None if self.max_per_gib == ANY_PRICE else self.max_per_gib,
            None if self.max_per_hour == ANY_PRICE else self.max_per_hour,
            self.min_uptime,
            self.min_free_slots,
            Service(self.services),
            frozenset(self.ports),
        )


@dataclass(frozen=True, slots=True)
class Hit:
    """One provider; ``uptime`` is the answering full node's measurement, or UNMEASURED."""

    record: Annotated[bytes, BytesUpTo(MAX_SIGNED)]
    heartbeat: Annotated[bytes, BytesUpTo(MAX_SIGNED)]  # empty if the provider is silent
    uptime: U32  # parts of a million


@dataclass(frozen=True, slots=True)
class Found:
    """The best matches from ``skip`` on; ``total`` is the number of all matches."""

    hits: Annotated[tuple[Hit, ...], ListOf(Record(Hit), MAX_FOUND)]
    total: U32


@dataclass(frozen=True, slots=True)
class Declined:
    """A refusal to answer; ``code`` is an index in ``Reason`` plus 1."""

    code: U16


Message: TypeAlias = (
    Compare | Compared | Fetch | Told | Deliver | Delivered | Find | Found | Declined
)
_TYPES: tuple[type[Message], ...] = (
    Compare,
    Compared,
    Fetch,
    Told,
    Deliver,
    Delivered,
    Find,
    Found,
    Declined,
)


def declined(reason: Reason) -> Declined:
    """Make the refusal to answer for this reason."""
    return Declined(1 + _REASONS.index(reason))


def serialize(message: Message) -> bytes:
    """Encode a question or an answer; raises ValueError if it is longer than MAX_BYTES."""
    data = encode([VERSION, _TYPES.index(type(message)), *to_value(message)])
    if len(data) > MAX_BYTES:
        raise ValueError(f"a message of {len(data)} bytes")
    return data


def parse_untrusted(data: bytes) -> Message:
    """Decode what ``serialize`` made; raises Refused for any other bytes."""
    if len(data) > MAX_BYTES:
        raise Refused(
            Reason.OVERSIZED, f"{len(data)} bytes exceed {MAX_BYTES}; ask another full node"
        )
    try:
        value = decode_untrusted(data, MAX_BYTES)
        if type(value) is not list or len(value) < 2 or type(value[0]) is not int:
            raise Malformed("the message has no version; ask another full node")
        if value[0] != VERSION:
            raise Refused(Reason.VERSION, f"version {value[0]}, not {VERSION}; update this program")
        number = value[1]
        if type(number) is not int or not 0 <= number < len(_TYPES):
            raise Malformed("the message type is unknown; update this program")
        return from_value_untrusted(_TYPES[number], value[2:])
    except Malformed as error:
        raise Refused(Reason.MALFORMED, str(error)) from None
