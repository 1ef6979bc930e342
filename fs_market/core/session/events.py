# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The events of a session: each tells the shell one thing to do.

``SetLimits`` is an event, too; it stands in ``money.accounting``, because the books make it.
"""

from dataclasses import dataclass
from typing import TypeAlias

from fs_market.core.money.accounting import SetLimits, Usage
from fs_market.core.wire.channels import Terms, Voucher
from fs_market.core.wire.messages import Quote, ReceiptOffer, Tunnel
from fs_market.errors import Reason
from fs_wire.types import IPAddress, PublicKey


@dataclass(frozen=True, slots=True)
class Journal:
    """Write ``record`` to the disk in place of the channel's earlier one.

    Then call ``journalled`` with ``number``.
    """

    number: int
    channel: bytes
    record: bytes


@dataclass(frozen=True, slots=True)
class QuoteReceived:
    """A quote is within the user's limits: call ``accept``, or ``close``."""

    quote: Quote


@dataclass(frozen=True, slots=True)
class OpenChannel:
    """Open this channel with ``deposit`` base units, unless it is open; then call ``opened``."""

    channel: bytes
    terms: Terms
    deposit: int


@dataclass(frozen=True, slots=True)
class Configure:
    """Set up the tunnel to the provider, or change it."""

    tunnel: Tunnel


@dataclass(frozen=True, slots=True)
class CheckChannel:
    """Ask the chain for this channel, and watch it from then on.

    Then call ``channel_found`` or ``channel_missing``.
    """

    channel: bytes
    terms: Terms


@dataclass(frozen=True, slots=True)
class AddPeer:
    """Give the client its place in the engine without credit; keep the place if it has it."""

    wireguard_key: PublicKey
    addresses: tuple[IPAddress, ...]


@dataclass(frozen=True, slots=True)
class ReadCounters:
    """Read the peer's counters in the engine, and call ``count``."""


@dataclass(frozen=True, slots=True)
class RemovePeer:
    """Remove the client from the engine."""

    wireguard_key: PublicKey


@dataclass(frozen=True, slots=True)
class ReceiptSigned:
    """Both sides have signed a receipt, so that it is evidence of the volume."""

    offer: ReceiptOffer
    client_signature: bytes  # 65 bytes


@dataclass(frozen=True, slots=True)
class Settle:
    """No further voucher will come: redeem this one and close the channel."""

    terms: Terms
    voucher: Voucher


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over; ``paid`` is the promised total in base units, by our own books."""

    reason: Reason
    usage: Usage
    paid: int


Event: TypeAlias = (
    Journal
    | QuoteReceived
    | OpenChannel
    | Configure
    | CheckChannel
    | AddPeer
    | ReadCounters
    | SetLimits
    | RemovePeer
    | ReceiptSigned
    | Settle
    | Ended
)
