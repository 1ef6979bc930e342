"""The provider's side of a session: it serves on credit of one window, and stops where that ends.

Theory of operation.  A ``QuoteRequest`` is answered and forgotten.  An ``Order`` brings the quote
back with the channel that was opened for it; the chain is asked, and from then on the client is a
peer of the engine, with as much credit as its vouchers and one window allow.  The engine enforces
bytes; a tick looks at the clock.  Without credit only the payment port passes, and time is not
counted; a voucher brings service back, silence ends the session.

What arrives never raises: ``inspection`` looks at it, what is refused is counted, and its sender is
told.  The session knows no connection: any may bring its messages, and what it says goes to where
its last order came from.
"""

from collections.abc import Callable
from enum import IntEnum

from fs_market.core.money.accounting import CLOSED
from fs_market.core.money.channels import ChannelStatus, channel_id
from fs_market.core.money.provider_books import ProviderBooks
from fs_market.core.money.vouchers import Voucher
from fs_market.core.session.inspection import Inspector
from fs_market.core.session.offers import STOP_BEFORE_EXPIRY, ProviderConfig, make_quote
from fs_market.core.session.places import Place
from fs_market.core.session.provider_states import TRANSITIONS, State
from fs_market.core.session.records import ProviderRecord
from fs_market.core.session.session import (
    TICK,
    AddPeer,
    CheckChannel,
    Ended,
    ReadCounters,
    ReceiptSigned,
    RemovePeer,
    Session,
    SetLimits,
    Settle,
)
from fs_market.core.wire.ethereum import HASH_LEN, Address
from fs_market.core.wire.messages import (
    Close,
    Message,
    Order,
    QuoteRequest,
    ReceiptAcceptance,
    Refusal,
    known_reason,
    parse_untrusted,
    sign_close,
)
from fs_market.core.wire.schema import to_bytes
from fs_market.errors import Reason, Refused, StateError
from fs_wire.types import PublicKey

UNPAID_FOR = 60.0  # seconds without credit, or without the last voucher
FAREWELL_FOR = 10.0  # seconds for a client that has paid all to hear so: it asks again every three


_ACTIVE = (State.SERVING, State.SUSPENDED, State.CLOSING)


class Timer(IntEnum):
    """Why the session must be looked at."""

    TICK = 0  # seconds cost, too
    UNPAID = 1  # credit has ended, or the session has, and no voucher or farewell came


class ProviderSession(Session[Timer, ProviderBooks]):
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
        super().__init__()
        self._config = config
        self._unix_time, self._entropy = unix_time, entropy
        self._inspect = Inspector(config, may_check)
        self._place: Place | None = None
        self._is_counted = False  # since the peer was added: the engine's count is known
        self._owes_statement = self._owes_record = False  # once it was counted
        self._has_warned = False  # that credit is low, since the last voucher
        self._has_closed_books = False  # the final statement was made
        self.round_trip = 0.1  # seconds to the client and back; the shell may know better
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
        if books.record.is_closing:
            self._close(Reason.DONE, now)
        elif terms.expires_at <= self._unix_time() + STOP_BEFORE_EXPIRY:
            self._close(Reason.EXPIRED, now)

    def channel_missing(self) -> None:
        """There is no such channel, or none that could pay: the client may ask again."""
        if self.state is not State.CHECKING:
            raise StateError("no channel is being checked; wait for CheckChannel")
        if self._open_books.record.voucher:
            self._end(Reason.NO_CHANNEL)
            return
        self.refused[Reason.NO_CHANNEL] += 1
        self._outbox.send(Refusal(Reason.NO_CHANNEL))
        self._books, self._channel = None, b""
        self._go(State.QUOTING)

    def had_ended(self, record: ProviderRecord) -> None:
        """This is how the channel's only session ended, which its client has not heard."""
        if self.state is not State.CHECKING:
            raise StateError("no channel is being checked; wait for CheckChannel")
        self._begin_books(record)
        self._go(State.OVER)
        self._send_close(final=True)

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

    def receive(self, data: bytes, now: float) -> Reason | None:
        """Act on a message, or say why not: that is counted, and to be told to who sent it."""
        try:
            self._handle_untrusted(parse_untrusted(data), now)
        except Refused as error:
            self.refused[error.reason] += 1
            return error.reason
        return None

    def count(self, rx_bytes: int, tx_bytes: int, now: float) -> None:
        """The engine's counters of the client, as they are."""
        if self.state not in _ACTIVE or self._has_closed_books:
            return
        self._pass_time(now)
        self._open_books.read(up=rx_bytes, down=tx_bytes)
        self._open_books.note_use(now, self.round_trip)
        self._is_counted = True
        self._keep_books()
        self._update(now)

    # Time.

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

    @property
    def wireguard_key(self) -> PublicKey | None:
        """The client's; None before its order."""
        return self._books.record.wireguard_key if self._books else None

    @property
    def session_key(self) -> Address | None:
        """Who signs for the client; None before its order."""
        return self._books.record.terms.session_key if self._books else None

    @property
    def is_paid_ahead(self) -> bool:
        """What is paid is not used: the client is owed service, not asked for a voucher."""
        return self._books is not None and self._books.is_paid_ahead

    @property
    def paid(self) -> int:
        """Base units of the best voucher."""
        return self._books.paid if self._books else 0

    # Messages of the client.

    def _handle_untrusted(self, message: Message, now: float) -> None:
        match message:
            case QuoteRequest() if self.state is State.QUOTING:
                self._inspect.request_untrusted(message, now)
                nonce = self._entropy(HASH_LEN)
                self._outbox.send(make_quote(self._config, self._unix_time(), nonce))
            case Refusal():
                self.refused[message.reason] += 1
            case _ if self.state is State.OVER:
                self._inspect.allow(now)
                self._send_close(final=True)
            case Order():
                self._take_order_untrusted(message, now)
            case Voucher() if self.state in _ACTIVE:
                self._take_voucher_untrusted(message, now)
            case ReceiptAcceptance() if self.state in _ACTIVE:
                self._take_acceptance_untrusted(message, now)
            case Close() if self.state in _ACTIVE:
                self._check_channel(message.channel)
                self._take_close_untrusted(message, now)
            case _:
                raise Refused(Reason.UNEXPECTED, "a message came out of turn; connect again")

    def _take_order_untrusted(self, order: Order, now: float) -> None:
        channel = channel_id(self._config.domain, order.terms)
        if self._books is None:
            self._inspect.first_order_untrusted(order, channel, self._unix_time(), now)
            key, number = order.wireguard_key, order.number
            self._begin_books(ProviderRecord(order.quote, order.terms, key, number))
            self._go(State.CHECKING)
            self._outbox.tell(CheckChannel(channel, order.terms))
            return
        self._check_channel(channel)
        self._inspect.order_untrusted(order, channel, self._books.record, now)
        self._books.change(order=order.number)
        if self.state in _ACTIVE:
            self._journal()
            self._send_place()
            self._send_offer()
            self._count_and_tell()

    def _take_voucher_untrusted(self, voucher: Voucher, now: float) -> None:
        books = self._open_books
        if (voucher,) == books.record.voucher:  # our answer was lost
            self._inspect.allow(now)
            self._count_and_tell()
            return
        self._inspect.voucher_untrusted(voucher, self._channel, books, now)
        self._pass_time(now)
        books.take_voucher(voucher, now, self.round_trip)
        self._has_warned, self._owes_record = False, True
        self._count_and_tell()
        self._expect_farewell(now)

    def _take_acceptance_untrusted(self, acceptance: ReceiptAcceptance, now: float) -> None:
        self._check_channel(acceptance.channel)
        books = self._open_books
        self._inspect.acceptance_untrusted(acceptance, books, now)
        (offered,) = books.record.offer
        books.change(receipt=(offered.receipt,), offer=())
        self._journal()
        self._outbox.tell(ReceiptSigned(offered, acceptance.signature))

    def _take_close_untrusted(self, message: Close, now: float) -> None:
        self._inspect.close_untrusted(message, self._open_books, now)
        if self.state is not State.CLOSING:
            self._close(known_reason(message.reason), now)
        elif message.final and self._has_closed_books and message.paid == self.paid:
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
                self._expect_farewell(now)
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
        self._tell_limits(books.limits)
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
        self._open_books.change(is_closing=True)
        self._journal()
        self._outbox.tell(SetLimits(CLOSED, 0))
        self._outbox.tell(ReadCounters())
        self._send_close(final=False)

    def _close_books(self) -> None:
        self._has_closed_books = True
        self._offer_receipt(final=True)
        self._send_statement()

    def _expect_farewell(self, now: float) -> None:
        """Who has paid all may be gone with its tunnel before its last word left it."""
        if self._has_closed_books and self._open_books.is_paid:
            self._timers.start(Timer.UNPAID, now + FAREWELL_FOR)

    def _look_at_the_calendar(self, now: float) -> None:
        ends = self._open_books.record.terms.expires_at - STOP_BEFORE_EXPIRY
        if self.state in (State.SERVING, State.SUSPENDED) and self._unix_time() >= ends:
            self._close(Reason.EXPIRED, now)

    def _offer_receipt(self, *, final: bool) -> None:
        books = self._open_books
        if books.is_epoch_over(final=final):
            books.offer_receipt(self._config.node_key, self._config.domain, self._channel)
            self._journal()
            self._send_offer()

    # Helpers.

    def _send_place(self) -> None:
        assert self._place is not None
        config = self._config
        self._outbox.send(self._place.peer_config(config.node_key, config.domain, self._channel))

    def _send_close(self, *, final: bool) -> None:
        key, domain = self._config.node_key, self._config.domain
        self._outbox.send(
            sign_close(key, domain, self._channel, self._end_reason, self.paid, final=final)
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

    def _begin_books(self, record: ProviderRecord) -> None:
        self._books = ProviderBooks(record)
        self._channel = channel_id(self._config.domain, record.terms)

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
        self._send_close(final=True)
        self._outbox.tell(Ended(reason, books.usage, books.paid))

    def _go(self, state: State) -> None:
        assert state in TRANSITIONS[self.state], f"{self.state} to {state}"
        self.state = state
