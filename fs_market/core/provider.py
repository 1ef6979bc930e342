"""The provider's side of a session: it serves on credit of one window, and stops where that ends.

Theory of operation.  A ``QuoteRequest`` is answered and forgotten.  An ``Order`` brings the quote
back with the channel that was opened for it; the chain is asked, and from then on the client is a
peer of the engine, with as much credit as its vouchers and one window allow.  The engine enforces
bytes; a tick looks at the clock.  Without credit only the payment port passes, and time is not
counted; a voucher brings service back, silence ends the session.

What costs least is checked first: a signature is the last thing to be looked at, and only while
``may_check`` allows its source one more.  ``TRANSITIONS`` has the states.  Whatever arrives never
raises: what is refused is counted, and answered with a ``Refusal``.  The session knows no
connection: any may bring its messages, and what it says goes to where it was last heard.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum

from fs_market.core.accounting import CLOSED, NO_USAGE, Stopwatch, Usage
from fs_market.core.channels import ChannelStatus, channel_id
from fs_market.core.ethereum import HASH_LEN
from fs_market.core.messages import (
    Close,
    Message,
    Order,
    PeerConfig,
    QuoteRequest,
    ReceiptAcceptance,
    ReceiptOffer,
    Refusal,
    known_reason,
    parse_untrusted,
    session_digest,
)
from fs_market.core.offers import (
    STOP_BEFORE_EXPIRY,
    ProviderConfig,
    make_quote,
    screen_order_untrusted,
    verify_quote_untrusted,
)
from fs_market.core.provider_books import ProviderBooks
from fs_market.core.receipts import receipt_digest
from fs_market.core.records import ProviderRecord
from fs_market.core.schema import to_bytes
from fs_market.core.session import (
    TICK,
    AddPeer,
    CheckChannel,
    Deadlines,
    Ended,
    Event,
    Outbox,
    ReadCounters,
    ReceiptSigned,
    RemovePeer,
    SetLimits,
    Settle,
)
from fs_market.core.signatures import verify_untrusted
from fs_market.core.vouchers import Voucher, screen_untrusted
from fs_market.core.vouchers import verify_untrusted as verify_voucher_untrusted
from fs_market.errors import Reason, Refused, StateError
from fs_tunnel.types import Endpoint, IPAddress, PublicKey

UNPAID_FOR = 60.0  # seconds without credit, or without the last voucher


class State(Enum):
    """Where a session of the provider is."""

    QUOTING = "quoting"
    CHECKING = "checking"
    SERVING = "serving"
    SUSPENDED = "suspended"
    CLOSING = "closing"
    OVER = "over"


TRANSITIONS: dict[State, dict[State, str]] = {
    State.QUOTING: {State.CHECKING: "Order for a quote of ours"},
    State.CHECKING: {
        State.SERVING: "channel_found",
        State.QUOTING: "channel_missing, before any service",
        State.OVER: "channel_missing, after service",
    },
    State.SERVING: {
        State.SUSPENDED: "credit ends",
        State.CLOSING: "Close, deposit spent, channel expires",
        State.OVER: "channel closes",
    },
    State.SUSPENDED: {
        State.SERVING: "Voucher",
        State.CLOSING: "Close, deposit spent, channel expires, unpaid",
        State.OVER: "channel closes",
    },
    State.CLOSING: {State.OVER: "final Close, silence, channel closes"},
    State.OVER: {},
}
_ACTIVE = (State.SERVING, State.SUSPENDED, State.CLOSING)


class Timer(IntEnum):
    """Why the session must be looked at."""

    TICK = 0  # seconds cost, too
    UNPAID = 1  # credit has ended, or the session has, and no voucher came


@dataclass(frozen=True, slots=True)
class Place:
    """What a client gets in the tunnel."""

    wireguard_key: PublicKey  # the provider's
    endpoint: Endpoint
    addresses: tuple[IPAddress, ...]  # the client's
    dns: tuple[IPAddress, ...]
    gateway: IPAddress
    payment_port: int
    mtu: int


class ProviderSession:
    """One client, from its first question to its last voucher."""

    def __init__(
        self,
        config: ProviderConfig,
        *,
        unix_time: Callable[[], int],
        entropy: Callable[[int], bytes],
        may_check: Callable[[float], bool],
        record: ProviderRecord | None = None,
    ) -> None:
        """``may_check(now)`` is whether this client may cost us one more signature check.

        ``record`` is where an earlier process stopped: the channel is checked again at once.
        """
        self._config = config
        self._unix_time, self._entropy, self._may_check = unix_time, entropy, may_check
        self._outbox = Outbox()
        self._timers: Deadlines[Timer] = Deadlines()
        self._stopwatch = Stopwatch()
        self._books: ProviderBooks | None = None
        self._channel = b""
        self._place: Place | None = None
        self._is_counted = False  # since the peer was added: the engine's count is known
        self._owes_statement = self._owes_record = False  # once it was counted
        self._has_warned = False  # that credit is low, since the last voucher
        self._told: SetLimits | None = None
        self._end_reason = Reason.DONE
        self._has_closed_books = False  # the final statement was made
        self.round_trip = 0.1  # seconds to the client and back; the shell may know better
        self.refused: Counter[Reason] = Counter()
        self.state = State.QUOTING
        if record is not None:
            self._begin_books(record)
            self.state = State.OVER if record.is_over else State.CHECKING
            if self.state is State.CHECKING:
                self._outbox.tell(CheckChannel(self._channel, record.terms))

    # What the chain and the host say.

    def channel_found(self, status: ChannelStatus, place: Place, now: float) -> None:
        """The channel exists; the client gets ``place``. StateError where none was asked for."""
        if self.state is not State.CHECKING:
            raise StateError("no channel is being checked; wait for CheckChannel")
        books, terms = self._open_books, self._open_books.record.terms
        if status.closes_at or status.deposit < self._config.min_deposit:
            self.channel_missing()
            return
        books.deposit, books.is_final = status.deposit, status.is_final
        self._place = place
        self._go(State.SERVING)
        self._journal()
        self._outbox.tell(AddPeer(books.record.wireguard_key, place.addresses))
        self._outbox.tell(ReadCounters())
        self._send_place()
        self._timers.start(Timer.TICK, now + TICK)
        self._stopwatch.start(now)
        if terms.expires_at <= self._unix_time() + STOP_BEFORE_EXPIRY:
            self._close(Reason.EXPIRED, now)

    def channel_missing(self) -> None:
        """There is no such channel, or none that could pay: the client may ask again."""
        if self.state is not State.CHECKING:
            raise StateError("no channel is being checked; wait for CheckChannel")
        if self._open_books.record.voucher:
            self._end(Reason.NO_CHANNEL)
            return
        self._refuse(Reason.NO_CHANNEL)
        self._books, self._channel = None, b""
        self._go(State.QUOTING)

    def channel_changed(self, status: ChannelStatus, now: float) -> None:
        """The chain says something else of the channel: finality, more deposit, its closing."""
        if self.state not in _ACTIVE:
            return
        books = self._open_books
        books.deposit, books.is_final = status.deposit, status.is_final
        if status.closes_at:
            self._end(Reason.EXPIRED)
        else:
            self._update(now)

    def channel_lost(self) -> None:
        """The chain took the channel back, or somebody closed it."""
        if self.state in _ACTIVE:
            self._end(Reason.NO_CHANNEL)

    def close(self, now: float, reason: Reason = Reason.DONE) -> None:
        """Stop serving, and wait for the last voucher. Asking twice does no harm."""
        if self.state in (State.SERVING, State.SUSPENDED):
            self._close(reason, now)

    # What comes in.

    def receive(self, data: bytes, now: float) -> None:
        """Act on a message; what is not acceptable is counted in ``refused``, and answered."""
        try:
            message = parse_untrusted(data)
            self._handle_untrusted(message, now)
        except Refused as error:
            self._refuse(error.reason)

    def count(self, rx_bytes: int, tx_bytes: int, now: float) -> None:
        """The engine's counters of the client, as they are."""
        if self.state not in _ACTIVE or self._has_closed_books:
            return
        self._pass_time(now)
        self._open_books.read(up=rx_bytes, down=tx_bytes)
        self._is_counted = True
        self._keep_books()
        self._update(now)

    def journalled(self, number: int) -> None:
        """The Journal event of this number is on the disk."""
        self._outbox.journalled(number)

    # Time.

    def next_timer(self) -> float | None:
        """When ``handle_timer`` is due; read the counters before it."""
        return self._timers.next()

    def handle_timer(self, now: float) -> None:
        """Act on every deadline up to ``now``."""
        for timer in self._timers.take_due(now):
            match timer:
                case Timer.TICK if self.state in (State.SERVING, State.SUSPENDED):
                    self._timers.start(Timer.TICK, now + TICK)
                    self._update(now)
                    self._look_at_the_calendar(now)
                case Timer.UNPAID if self.state is State.SUSPENDED:
                    self._close(Reason.UNPAID, now)
                case Timer.UNPAID if self.state is State.CLOSING:
                    is_paid = self._open_books.is_paid
                    self._end(self._end_reason if is_paid else Reason.UNPAID)

    # What goes out.

    def messages_to_send(self) -> list[bytes]:
        """Take what is to be sent to the client, in order."""
        return self._outbox.take_messages()

    def next_event(self) -> Event | None:
        """Take the next thing to do; None where there is none."""
        return self._outbox.next_event()

    @property
    def channel(self) -> bytes:
        """The channel that this session is about; empty before its order."""
        return self._channel

    @property
    def paid(self) -> int:
        """Base units of the best voucher."""
        return self._books.paid if self._books else 0

    @property
    def usage(self) -> Usage:
        """By our own count."""
        return self._books.usage if self._books else NO_USAGE

    # Messages of the client.

    def _handle_untrusted(self, message: Message, now: float) -> None:
        match message:
            case QuoteRequest() if self.state is State.QUOTING:
                self._quote_untrusted(message, now)
            case Refusal():
                self.refused[message.reason] += 1
            case _ if self.state is State.OVER:
                self._outbox.send(Close(self._channel, self._end_reason, final=True))
            case Order():
                self._take_order_untrusted(message, now)
            case Voucher() if self.state in _ACTIVE:
                self._take_voucher_untrusted(message, now)
            case ReceiptAcceptance() if self.state in _ACTIVE:
                self._take_acceptance_untrusted(message, now)
            case Close() if self.state in _ACTIVE:
                self._check_channel(message.channel)
                self._take_close(message, now)
            case _:
                raise Refused(Reason.UNEXPECTED, "a message came out of turn; connect again")

    def _check_channel(self, channel: bytes) -> None:
        if channel != self._channel:
            raise Refused(Reason.FOREIGN_CHANNEL, "a message is for another channel; connect again")

    def _quote_untrusted(self, request: QuoteRequest, now: float) -> None:
        config = self._config
        if (request.chain_id, request.channels) != (config.domain.chain_id, config.domain.contract):
            raise Refused(Reason.CHAIN, "we are paid on another chain; choose another provider")
        self._allow_check(now)  # to sign costs as much
        self._outbox.send(make_quote(config, self._unix_time(), self._entropy(HASH_LEN)))

    def _take_order_untrusted(self, order: Order, now: float) -> None:
        domain = self._config.domain
        channel = channel_id(domain, order.terms)
        if self._books is not None:
            self._check_channel(channel)
            if order.wireguard_key != self._books.record.wireguard_key:
                raise Refused(Reason.FOREIGN_KEY, "the channel has another WireGuard key; use it")
        else:
            screen_order_untrusted(self._config, order, self._unix_time())
        self._allow_check(now)
        if self._books is None:
            verify_quote_untrusted(self._config, order.quote)
        signed = session_digest(domain, channel, order.wireguard_key)
        verify_untrusted(signed, order.signature, order.terms.session_key)
        if self._books is None:
            self._begin_books(ProviderRecord(order.quote, order.terms, order.wireguard_key))
            self._go(State.CHECKING)
            self._outbox.tell(CheckChannel(channel, order.terms))
        elif self.state in _ACTIVE:
            self._send_place()
            self._send_offer()
            self._count_and_tell()

    def _take_voucher_untrusted(self, voucher: Voucher, now: float) -> None:
        books = self._open_books
        if (voucher,) == books.record.voucher:
            self._count_and_tell()  # our answer was lost
            return
        screen_untrusted(voucher, self._channel, books.deposit, books.paid)
        self._allow_check(now)
        verify_voucher_untrusted(voucher, self._config.domain, books.record.terms.session_key)
        self._pass_time(now)
        books.take_voucher(voucher, now, self.round_trip)
        self._has_warned, self._owes_record = False, True
        self._count_and_tell()

    def _take_acceptance_untrusted(self, acceptance: ReceiptAcceptance, now: float) -> None:
        self._check_channel(acceptance.channel)
        books = self._open_books
        offered = books.record.offer
        if not offered or offered[0].receipt.epoch != acceptance.epoch:
            raise Refused(Reason.BAD_RECEIPT, "a signature is for no receipt on offer; ignore it")
        self._allow_check(now)
        digest = receipt_digest(self._config.domain, offered[0].receipt)
        verify_untrusted(digest, acceptance.signature, books.record.terms.session_key)
        books.change(receipt=(offered[0].receipt,), offer=())
        self._journal()
        self._outbox.tell(ReceiptSigned(offered[0], acceptance.signature))

    def _take_close(self, message: Close, now: float) -> None:
        reason = known_reason(message.reason)
        if self.state is not State.CLOSING:
            self._close(reason, now)
        elif message.final and self._has_closed_books:
            self._end(self._end_reason)
        else:
            self._count_and_tell()

    # Service.

    def _update(self, now: float) -> None:
        """Let service go as far as credit does, and say so."""
        self._pass_time(now)
        if self.state is State.CLOSING:
            if self._is_counted and not self._has_closed_books:
                self._close_books()
            return
        books = self._open_books
        if not self._is_counted:
            return
        if self.state is State.SUSPENDED and books.has_credit:
            self._go(State.SERVING)
            self._timers.stop(Timer.UNPAID)
            self._stopwatch.start(now)
        elif self.state is State.SERVING and not books.has_credit:
            self._go(State.SUSPENDED)
            self._stopwatch.stop()
            books.note_suspension()
            self._timers.start(Timer.UNPAID, now + UNPAID_FOR)
            self._owes_statement = True
        if books.is_credit_low and not self._has_warned:
            self._has_warned = self._owes_statement = True
        if self._owes_statement:
            self._send_statement()
        limits = books.limits
        if limits != self._told:
            self._told = limits
            self._outbox.tell(limits)
        self._offer_receipt(final=False)
        if self.state is State.SUSPENDED and books.is_spent:
            self._close(Reason.SPENT, now)

    def _close(self, reason: Reason, now: float) -> None:
        """Stop the traffic, then count once more, and wait for the last voucher."""
        self._pass_time(now)
        self._stopwatch.stop()
        self._end_reason = reason
        self._go(State.CLOSING)
        self._is_counted = False
        self._timers.stop_all()
        self._timers.start(Timer.UNPAID, now + UNPAID_FOR)
        self._outbox.tell(SetLimits(CLOSED, 0))
        self._outbox.tell(ReadCounters())
        self._outbox.send(Close(self._channel, reason, final=False))

    def _close_books(self) -> None:
        self._has_closed_books = True
        self._offer_receipt(final=True)
        self._send_statement()

    def _look_at_the_calendar(self, now: float) -> None:
        ends = self._open_books.record.terms.expires_at - STOP_BEFORE_EXPIRY
        if self.state in (State.SERVING, State.SUSPENDED) and self._unix_time() >= ends:
            self._close(Reason.EXPIRED, now)

    def _offer_receipt(self, *, final: bool) -> None:
        books = self._open_books
        if books.is_epoch_over(final=final):
            receipt = books.next_receipt(self._config.domain, self._channel)
            digest = receipt_digest(self._config.domain, receipt)
            books.change(offer=(ReceiptOffer(receipt, self._config.node_key.sign(digest)),))
            self._journal()
            self._send_offer()

    # Helpers.

    def _send_place(self) -> None:
        place = self._place
        assert place is not None
        self._outbox.send(
            PeerConfig(
                *(self._channel, place.wireguard_key, place.endpoint, place.addresses, place.dns),
                *(place.gateway, place.payment_port, place.mtu),
            )
        )

    def _send_offer(self) -> None:
        for offer in self._open_books.record.offer:
            self._outbox.send(offer)

    def _count_and_tell(self) -> None:
        """A statement is to have counts of now; the final one has the last there are."""
        self._owes_statement = True
        if self._has_closed_books:
            self._keep_books()
            self._send_statement()
        else:
            self._is_counted = False
            self._outbox.tell(ReadCounters())

    def _keep_books(self) -> None:
        """A voucher is written down with what was counted when it came, and long counts, too."""
        if self._owes_record or self._open_books.is_record_old:
            self._journal()

    def _send_statement(self) -> None:
        self._owes_statement = False
        is_suspended = self.state is State.SUSPENDED
        statement = self._open_books.statement(
            self._channel, suspended=is_suspended, final=self._has_closed_books
        )
        self._outbox.send(statement)

    def _refuse(self, reason: Reason) -> None:
        self.refused[reason] += 1
        self._outbox.send(Refusal(reason))

    def _allow_check(self, now: float) -> None:
        if not self._may_check(now):
            raise Refused(Reason.RATE_LIMITED, "too many signatures to check; ask less often")

    def _pass_time(self, now: float) -> None:
        self._open_books.pass_time(self._stopwatch.take(now))

    def _begin_books(self, record: ProviderRecord) -> None:
        self._books = ProviderBooks(record)
        self._channel = channel_id(self._config.domain, record.terms)

    @property
    def _open_books(self) -> ProviderBooks:
        assert self._books is not None
        return self._books

    def _journal(self) -> None:
        self._owes_record = False
        self._open_books.note_journalled()
        self._outbox.journal(self._channel, to_bytes(self._open_books.record))

    def _end(self, reason: Reason) -> None:
        books = self._open_books
        self._end_reason = reason
        self._go(State.OVER)
        self._timers.stop_all()
        self._stopwatch.stop()
        books.change(is_over=True)
        self._journal()
        self._outbox.tell(RemovePeer(books.record.wireguard_key))
        for voucher in books.record.voucher:
            self._outbox.tell(Settle(books.record.terms, voucher))
        self._outbox.send(Close(self._channel, reason, final=True))
        self._outbox.tell(Ended(reason, books.usage, books.paid))

    def _go(self, state: State) -> None:
        assert state in TRANSITIONS[self.state], f"{self.state} to {state}"
        self.state = state
