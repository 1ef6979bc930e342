# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The messages between client and provider: versioned records in canonical CBOR.

    client                                   provider
      QuoteRequest  ────────────────────────▶
                    ◀────────────────────────  Quote, signed by the node key
      Order: quote, channel's terms, key  ──▶
                    ◀────────────────────────  PeerConfig, signed by the node key
      Voucher  ─────────────────────────────▶
                    ◀────────────────────────  Statement: the provider's counts and payments
                    ◀────────────────────────  ReceiptOffer, in each epoch
      ReceiptAcceptance  ───────────────────▶
      Close  ───────────────────────────────▶
                    ◀────────────────────────  Statement, final
      Voucher, Close, final  ───────────────▶

If the client cannot dial the provider's endpoint, it sends a ``Rendezvous`` with its own addresses.
It may do so at any time in between.  The provider answers with its addresses.

The provider answers a message that it does not accept with a ``Refusal``.  A message is an array:
version, type, and the fields of its record.  An ``Order`` holds the whole quote, so that a provider
keeps nothing for clients that only ask.  Another ``Order`` resumes a session after a crash of
either side.

Somebody on the path before there is a tunnel can read and repeat these bytes, but cannot change a
session.  Each message that moves or ends a session is signed and counts once: an order by its
number, a voucher and a close by the total that they name.
"""

from dataclasses import dataclass
from typing import TypeAlias

from fs_market.core.wire.channels import Terms, Voucher
from fs_market.core.wire.eip712 import Domain, struct_hash, type_hash
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.receipts import Receipt
from fs_market.core.wire.rendezvous import Rendezvous
from fs_market.core.wire.schema import (
    U16,
    U32,
    U48,
    U64,
    Account,
    BaseUnits,
    Digested,
    Flag,
    Hash,
    Ip,
    Ips,
    Signature,
    UdpEndpoint,
    WireGuardKey,
    decode_untrusted,
    from_value_untrusted,
    to_value,
)
from fs_market.core.wire.signatures import SigningKey, check_form, verify_untrusted
from fs_market.errors import MalformedMessage, Reason, Refused
from fs_wire.codec import encode
from fs_wire.types import PublicKey

VERSION = 1

_OFFER_TYPE = type_hash("Offer(bytes32 order)")
_TUNNEL_TYPE = type_hash("Tunnel(bytes32 tunnel)")
_SESSION_TYPE = type_hash("Session(bytes32 channelId,bytes32 wireguardKey,uint32 number)")
_END_TYPE = type_hash("End(bytes32 channelId,uint16 reason,bool final,uint96 paid)")


@dataclass(frozen=True, slots=True)
class QuoteRequest:
    """The client asks for a price, to be paid on this chain through this contract."""

    chain_id: U64
    channels: Account


@dataclass(frozen=True, slots=True)
class QuoteTerms(Digested):
    """The provider's offer.  Its digest is the ``order`` of the channel that accepts it."""

    chain_id: U64
    channels: Account
    token: Account
    payee: Account
    node: Account  # signs quotes and receipts
    per_gib: U64  # base units; see money.prices
    per_hour: U64
    increment_bytes: U64  # the first credit window
    increment_seconds: U32
    max_window_bytes: U64  # the largest credit window
    max_window_seconds: U32
    tolerance_ppm: U32  # how much more the provider may count than the client, in millionths
    close_window: U32  # seconds; the channel's ``window``
    min_deposit: BaseUnits
    valid_until: U48  # seconds since the epoch; an order for a new channel has to come before
    nonce: Hash


@dataclass(frozen=True, slots=True)
class Quote:
    """An offer with the provider's signature, so that the provider cannot deny it."""

    terms: QuoteTerms
    signature: Signature  # by terms.node


@dataclass(frozen=True, slots=True)
class Order:
    """The client asks the provider to serve a channel, which was opened for this quote."""

    quote: Quote
    terms: Terms
    wireguard_key: WireGuardKey  # the client's
    number: U32  # each order of a channel has a higher number than the orders before it
    signature: Signature  # by the session key: session_digest


@dataclass(frozen=True, slots=True)
class Tunnel(Digested):
    """The address of the provider's tunnel, and the place inside it at which the client pays."""

    channel: Hash
    wireguard_key: WireGuardKey  # the provider's
    endpoint: UdpEndpoint
    addresses: Ips  # the client's, inside the tunnel
    dns: Ips
    gateway: Ip
    payment_port: U16  # TCP, at the gateway; it stays open without credit
    mtu: U16


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """The client's tunnel, signed so that nobody on the path can send the client into another."""

    tunnel: Tunnel
    signature: Signature  # by the node key of the quote


@dataclass(frozen=True, slots=True)
class Statement:
    """The provider's books: totals since the session began, and the credit window."""

    channel: Hash
    up: U64  # bytes
    down: U64
    seconds: U32
    paid: BaseUnits  # the highest voucher that the provider has accepted
    window_bytes: U64
    window_seconds: U32
    suspended: Flag  # only the payment port is open until a voucher comes
    final: Flag  # the provider counts nothing more


@dataclass(frozen=True, slots=True)
class ReceiptOffer:
    """A receipt, signed by the provider's node key."""

    receipt: Receipt
    signature: Signature


@dataclass(frozen=True, slots=True)
class ReceiptAcceptance:
    """The client's signature of an offered receipt, by the session key."""

    channel: Hash
    epoch: U32
    signature: Signature


@dataclass(frozen=True, slots=True)
class Close:
    """One side wants to end the session; ``final`` says that all is paid, too."""

    channel: Hash
    reason: U16  # a number of errors.Reason
    final: Flag
    paid: BaseUnits  # in total, by the signer's books
    signature: Signature  # by the session key, or by the node key of the quote: end_digest


@dataclass(frozen=True, slots=True)
class Refusal:
    """The provider did not accept a message; ``code`` is a number of ``errors.Reason``.

    A later version may use numbers that we do not know.
    """

    code: U16

    @property
    def reason(self) -> Reason:
        """The reason of ``code``; UNEXPECTED if we do not know the number."""
        return known_reason(self.code)


Message: TypeAlias = (
    QuoteRequest
    | Quote
    | Order
    | PeerConfig
    | Voucher
    | Statement
    | ReceiptOffer
    | ReceiptAcceptance
    | Close
    | Refusal
    | Rendezvous
)
TYPES: dict[int, type[Message]] = {
    1: QuoteRequest,
    2: Quote,
    3: Order,
    4: PeerConfig,
    5: Voucher,
    6: Statement,
    7: ReceiptOffer,
    8: ReceiptAcceptance,
    9: Close,
    10: Refusal,
    11: Rendezvous,
}
_NUMBERS = {record: number for number, record in TYPES.items()}


def serialize(message: Message) -> bytes:
    """Return the bytes of a message as they are sent."""
    return encode([VERSION, _NUMBERS[type(message)], *to_value(message)])


def parse_untrusted(data: bytes) -> Message:
    """Return the message that ``serialize`` turns into exactly these bytes.

    Raise MalformedMessage if there is none, or if a quote in it has no price.
    """
    value = decode_untrusted(data)
    if type(value) is not list or len(value) < 2 or type(value[0]) is not int:
        raise MalformedMessage(
            "a message has no version; check that the other side runs this program"
        )
    if value[0] != VERSION:
        raise MalformedMessage(
            f"a message has version {value[0]}, not {VERSION}; update the older side",
            Reason.VERSION,
        )
    record = TYPES.get(value[1]) if type(value[1]) is int else None
    if record is None:
        raise MalformedMessage("a message has an unknown type; update this side")
    message = from_value_untrusted(record, value[2:])
    if isinstance(message, Quote | Order):
        _check_price(message.terms if isinstance(message, Quote) else message.quote.terms)
    return message


def offer_digest(domain: Domain, order: bytes) -> bytes:
    """Return the 32 bytes that the node key signs for a quote."""
    return domain.digest(struct_hash(_OFFER_TYPE, order))


def tunnel_digest(domain: Domain, tunnel: bytes) -> bytes:
    """Return the 32 bytes that the node key signs for a tunnel."""
    return domain.digest(struct_hash(_TUNNEL_TYPE, tunnel))


def session_digest(domain: Domain, channel: bytes, wireguard_key: PublicKey, number: int) -> bytes:
    """Return the 32 bytes that the session key signs for an order."""
    return domain.digest(struct_hash(_SESSION_TYPE, channel, wireguard_key.raw, number))


def end_digest(domain: Domain, channel: bytes, reason: int, paid: int, *, final: bool) -> bytes:
    """Return the 32 bytes that either side signs for a close; ``paid`` is in base units."""
    return domain.digest(struct_hash(_END_TYPE, channel, reason, final, paid))


def sign_close(
    key: SigningKey, domain: Domain, channel: bytes, reason: int, paid: int, *, final: bool
) -> Close:
    """Sign a close, with the session key or with the node key."""
    digest = end_digest(domain, channel, reason, paid, final=final)
    return Close(channel, reason, final, paid, key.sign(digest))


def screen_close_untrusted(close: Close, known: int) -> None:
    """Raise Refused if a close is bad in any respect but its signature.

    ``known`` is the total in base units that its maker last said to be paid.  A close with a lower
    total is a replay.
    """
    if close.paid < known:
        raise Refused(Reason.REPLAYED, "a close is older than the last payment; sign another")
    check_form(close.signature)


def verify_close_untrusted(close: Close, domain: Domain, signer: Address) -> None:
    """Raise Refused (BAD_SIGNATURE) if ``signer`` did not sign a close."""
    digest = end_digest(domain, close.channel, close.reason, close.paid, final=close.final)
    verify_untrusted(digest, close.signature, signer)


def known_reason(code: int) -> Reason:
    """Return the reason with this number; UNEXPECTED if we do not know the number."""
    return Reason(code) if code in set(Reason) else Reason.UNEXPECTED


def _check_price(terms: QuoteTerms) -> None:
    if terms.per_gib == terms.per_hour == 0:
        raise MalformedMessage("a quote has no price; ask another provider")
