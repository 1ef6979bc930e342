"""What client and provider say to each other: versioned records in canonical CBOR.

    client                                   provider
      QuoteRequest  ────────────────────────▶
                    ◀────────────────────────  Quote, signed by the node key
      Order: quote, channel's terms, key  ──▶
                    ◀────────────────────────  PeerConfig, signed by the node key
      Voucher  ─────────────────────────────▶
                    ◀────────────────────────  Statement: the provider's counts, what is paid
                    ◀────────────────────────  ReceiptOffer, each epoch
      ReceiptAcceptance  ───────────────────▶
      Close  ───────────────────────────────▶
                    ◀────────────────────────  Statement, final
      Voucher, Close, final  ───────────────▶

At any time in between, a client whose provider has no endpoint that can be dialled says where it
can be called, in a ``Rendezvous``, and has the provider's in return (``rendezvous``).

The provider answers what it does not accept with a ``Refusal``.  A message is an array: version,
type, and the fields of its record.  An ``Order`` holds the whole quote, so that a provider keeps
nothing of those who only ask; another resumes a session after a crash of either side.

Whoever is on the path before there is a tunnel, or has seen its bytes, can say nothing that counts:
what moves or ends a session is signed, and counts once (an order by its number, a voucher and a
close by the total they name).
"""

from dataclasses import dataclass
from typing import TypeAlias

from fs_market.core.money.channels import Terms
from fs_market.core.money.prices import Price
from fs_market.core.money.receipts import Receipt
from fs_market.core.money.vouchers import Voucher
from fs_market.core.session.rendezvous import Rendezvous
from fs_market.core.wire.eip712 import Domain, struct_hash, type_hash
from fs_market.core.wire.ethereum import Address, keccak
from fs_market.core.wire.schema import (
    U16,
    U32,
    U48,
    U64,
    Account,
    BaseUnits,
    Flag,
    Hash,
    Ip,
    Ips,
    Signature,
    UdpEndpoint,
    WireGuardKey,
    decode_untrusted,
    from_value_untrusted,
    to_bytes,
    to_value,
)
from fs_market.core.wire.signatures import SigningKey, check_form, verify_untrusted
from fs_market.errors import AmountError, MalformedMessage, Reason, Refused
from fs_wire.codec import encode
from fs_wire.types import PublicKey

VERSION = 1

_OFFER_TYPE = type_hash("Offer(bytes32 order)")
_TUNNEL_TYPE = type_hash("Tunnel(bytes32 tunnel)")
_SESSION_TYPE = type_hash("Session(bytes32 channelId,bytes32 wireguardKey,uint32 number)")
_END_TYPE = type_hash("End(bytes32 channelId,uint16 reason,bool final,uint96 paid)")


@dataclass(frozen=True, slots=True)
class QuoteRequest:
    """A wish to know what service costs, paid on this chain through this contract."""

    chain_id: U64
    channels: Account


@dataclass(frozen=True, slots=True)
class QuoteTerms:
    """What a provider offers.  Its digest is the ``order`` of the channel that accepts it."""

    chain_id: U64
    channels: Account
    token: Account
    payee: Account
    node: Account  # signs quotes and receipts
    per_gib: U64  # base units
    per_hour: U64
    increment_bytes: U64  # the first credit window
    increment_seconds: U32
    max_window_bytes: U64  # the largest
    max_window_seconds: U32
    tolerance_ppm: U32  # by how much, in millionths, the provider may count more than the client
    close_window: U32  # seconds; the channel's ``window``
    min_deposit: BaseUnits
    valid_until: U48  # seconds since the epoch, for new channels
    nonce: Hash

    @property
    def price(self) -> Price:
        """AmountError where it is none."""
        return Price(self.per_gib, self.per_hour)

    @property
    def digest(self) -> bytes:
        """32 bytes that name every field."""
        return keccak(to_bytes(self))


@dataclass(frozen=True, slots=True)
class Quote:
    """An offer that its maker cannot deny."""

    terms: QuoteTerms
    signature: Signature  # by terms.node


@dataclass(frozen=True, slots=True)
class Order:
    """Serve this channel: it was opened for this quote."""

    quote: Quote
    terms: Terms
    wireguard_key: WireGuardKey  # the client's
    number: U32  # each order of a channel has a higher one than those before
    signature: Signature  # by the session key: session_digest


@dataclass(frozen=True, slots=True)
class Tunnel:
    """How to reach the provider's tunnel, and where to pay inside it."""

    channel: Hash
    wireguard_key: WireGuardKey  # the provider's
    endpoint: UdpEndpoint
    addresses: Ips  # the client's, inside the tunnel
    dns: Ips
    gateway: Ip
    payment_port: U16  # TCP, at the gateway; stays open without credit
    mtu: U16

    @property
    def digest(self) -> bytes:
        """32 bytes that name every field."""
        return keccak(to_bytes(self))


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """A client's tunnel: signed, or whoever is on the path could send it into another."""

    tunnel: Tunnel
    signature: Signature  # by the node of the quote


@dataclass(frozen=True, slots=True)
class Statement:
    """The provider's books: totals since the session began, and the credit window."""

    channel: Hash
    up: U64  # bytes
    down: U64
    seconds: U32
    paid: BaseUnits  # the best voucher that was honoured
    window_bytes: U64
    window_seconds: U32
    suspended: Flag  # only the payment port passes until a voucher comes
    final: Flag  # nothing more will be counted


@dataclass(frozen=True, slots=True)
class ReceiptOffer:
    """A receipt, signed by the provider's node key."""

    receipt: Receipt
    signature: Signature


@dataclass(frozen=True, slots=True)
class ReceiptAcceptance:
    """The session key's signature of a receipt that was offered."""

    channel: Hash
    epoch: U32
    signature: Signature


@dataclass(frozen=True, slots=True)
class Close:
    """An end is wanted; ``final``: and all is paid."""

    channel: Hash
    reason: U16  # of errors.Reason
    final: Flag
    paid: BaseUnits  # in total, by the books of who signs
    signature: Signature  # by the session key, or by the node of the quote: end_digest


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message was not accepted: a number of ``errors.Reason``, known or not."""

    code: U16

    @property
    def reason(self) -> Reason:
        """UNEXPECTED where it is none that we know."""
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
    """A message as it is sent."""
    return encode([VERSION, _NUMBERS[type(message)], *to_value(message)])


def parse_untrusted(data: bytes) -> Message:
    """The message that ``serialize`` makes exactly these bytes of; MalformedMessage otherwise."""
    value = decode_untrusted(data)
    if type(value) is not list or len(value) < 2 or type(value[0]) is not int:
        raise MalformedMessage("a message has no version; speak to a provider of this program")
    if value[0] != VERSION:
        raise MalformedMessage(
            f"a message is of version {value[0]}, not {VERSION}; update the older side",
            Reason.VERSION,
        )
    record = TYPES.get(value[1]) if type(value[1]) is int else None
    if record is None:
        raise MalformedMessage("a message is of no known type; update this side")
    message = from_value_untrusted(record, value[2:])
    if isinstance(message, Quote | Order):
        _check_price(message.terms if isinstance(message, Quote) else message.quote.terms)
    return message


def offer_digest(domain: Domain, order: bytes) -> bytes:
    """What the node key signs for a quote: 32 bytes."""
    return domain.digest(struct_hash(_OFFER_TYPE, order))


def tunnel_digest(domain: Domain, tunnel: bytes) -> bytes:
    """What the node key signs for a tunnel: 32 bytes."""
    return domain.digest(struct_hash(_TUNNEL_TYPE, tunnel))


def session_digest(domain: Domain, channel: bytes, wireguard_key: PublicKey, number: int) -> bytes:
    """What the session key signs for an order: 32 bytes."""
    return domain.digest(struct_hash(_SESSION_TYPE, channel, wireguard_key.raw, number))


def end_digest(domain: Domain, channel: bytes, reason: int, paid: int, *, final: bool) -> bytes:
    """What either side signs for a close: 32 bytes."""
    return domain.digest(struct_hash(_END_TYPE, channel, reason, final, paid))


def sign_close(
    key: SigningKey, domain: Domain, channel: bytes, reason: int, paid: int, *, final: bool
) -> Close:
    """An end, by the session key or by the node key."""
    digest = end_digest(domain, channel, reason, paid, final=final)
    return Close(channel, reason, final, paid, key.sign(digest))


def screen_close_untrusted(close: Close, known: int) -> None:
    """Refuse a close for any reason that costs nothing to find: all but its signature.

    ``known`` is what its maker has said to be paid, in total: one behind that is a replay.
    """
    if close.paid < known:
        raise Refused(Reason.REPLAYED, "a close is from before the last payment; sign another")
    check_form(close.signature)


def verify_close_untrusted(close: Close, domain: Domain, signer: Address) -> None:
    """Refused (BAD_SIGNATURE) where a close is not ``signer``'s."""
    digest = end_digest(domain, close.channel, close.reason, close.paid, final=close.final)
    verify_untrusted(digest, close.signature, signer)


def known_reason(code: int) -> Reason:
    """The reason of this number; UNEXPECTED where we know none."""
    return Reason(code) if code in set(Reason) else Reason.UNEXPECTED


def _check_price(terms: QuoteTerms) -> None:
    try:
        _ = terms.price
    except AmountError:
        raise MalformedMessage("a quote has no price; ask another provider") from None
