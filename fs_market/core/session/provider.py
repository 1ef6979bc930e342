# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The provider's side of a session: it serves on credit of one window, and stops when credit ends.

Theory of operation.  The provider answers a ``QuoteRequest`` and forgets it.  An ``Order`` brings
the quote back, with the channel that was opened for it. The shell asks the chain for the channel.
Then the client becomes a peer of the engine, with the credit of its vouchers and one window.  The
engine enforces bytes; a tick looks at the clock.  A client without credit can reach only the
payment port, and its time does not count.  A voucher brings service back, and silence ends the
session.

``provider_states`` has the states, and ``provider_serving`` the service.  A message never raises an
error: ``inspection`` checks it, and the session counts a refusal and tells the sender.  The session
knows no connection.  Any connection may bring its messages, and the session's own messages go to
the connection of its last order.
"""

from collections.abc import Callable

from fs_market.core.money.records import ProviderRecord
from fs_market.core.session.events import AddPeer, CheckChannel, ReadCounters, ReceiptSigned
from fs_market.core.session.inspection import Inspector
from fs_market.core.session.offers import STOP_BEFORE_EXPIRY, ProviderConfig, make_quote
from fs_market.core.session.places import Place
from fs_market.core.session.provider_serving import ServingProvider, Timer
from fs_market.core.session.provider_states import State
from fs_market.core.session.session import TICK
from fs_market.core.wire.channels import ChannelStatus, Voucher, channel_id
from fs_market.core.wire.ethereum import HASH_LEN, Address
from fs_market.core.wire.messages import (
    Close,
    Message,
    Order,
    QuoteRequest,
    ReceiptAcceptance,
    Refusal,
    known_reason,
)
from fs_market.errors import Reason, Refused, StateError
from fs_wire.types import PublicKey

_ACTIVE = (State.SERVING, State.SUSPENDED, State.CLOSING)


class ProviderSession(ServingProvider):
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
        """Begin anew, or go on from the ``record`` of an earlier process.

        ``unix_time()`` is in seconds since the epoch, and ``entropy(n)`` returns n random bytes.
        ``may_check(now)`` says whether this client may cost us one more check of a signature.  With
        a record, the first event asks for the channel again.
        """
        super().__init__(config, unix_time)
        self._entropy = entropy
        self._inspect = Inspector(config, may_check)
        if record is not None:
            self._begin_books(record)
            self.state = State.OVER if record.is_over else State.CHECKING
            if self.state is State.CHECKING:
                self._outbox.tell(CheckChannel(self._channel, record.terms))

    # News of the chain and the host.

    def channel_found(self, status: ChannelStatus, place: Place, now: float) -> None:
        """Give ``place`` to the client, whose channel exists.

        Raise StateError if the session did not ask for the channel.
        """
        self._expect_check()
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
        """Refuse the order: there is no such channel, or it cannot pay.  The client may ask again.

        Raise StateError if the session did not ask for the channel.
        """
        self._expect_check()
        if self._open_books.record.voucher:
            self._end(Reason.NO_CHANNEL)
            return
        self.refused[Reason.NO_CHANNEL] += 1
        self._outbox.send(Refusal(Reason.NO_CHANNEL))
        self._books, self._channel = None, b""
        self._go(State.QUOTING)

    def had_ended(self, record: ProviderRecord) -> None:
        """Tell the client that the channel's only session has ended, with this ``record``.

        Raise StateError if the session did not ask for the channel.
        """
        self._expect_check()
        self._begin_books(record)
        self._go(State.OVER)
        self._send_close(final=True)

    def channel_changed(self, status: ChannelStatus, now: float) -> None:
        """Take a new status of the channel: finality, a larger deposit, or a request to close."""
        if self.state not in _ACTIVE:
            return
        books = self._open_books
        books.deposit, books.is_final = status.deposit, status.is_final
        if status.closes_at:
            self._end(Reason.EXPIRED)
        else:
            self._update(now)

    def channel_lost(self) -> None:
        """End the session: the chain took the channel back, or somebody closed it."""
        if self.state in _ACTIVE:
            self._end(Reason.NO_CHANNEL)

    def close(self, now: float, reason: Reason = Reason.DONE) -> None:
        """Stop serving, and wait for the last voucher. A second call does no harm."""
        if self.state in (State.SERVING, State.SUSPENDED):
            self._close(reason, now)

    # Input.

    def count(self, rx_bytes: int, tx_bytes: int, now: float) -> None:
        """Take the engine's counters of the client, in bytes, as they are."""
        if self.state not in _ACTIVE or self._has_closed_books:
            return
        self._pass_time(now)
        self._open_books.read(up=rx_bytes, down=tx_bytes)
        self._open_books.note_use(now, self.round_trip)
        self._is_counted = True
        self._keep_books()
        self._update(now)

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
        """The client's WireGuard key; None before its order."""
        return self._books.record.wireguard_key if self._books else None

    @property
    def session_key(self) -> Address | None:
        """The address of the key that signs for the client; None before its order."""
        return self._books.record.terms.session_key if self._books else None

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

    def _expect_check(self) -> None:
        if self.state is not State.CHECKING:
            raise StateError("no channel is being checked; wait for CheckChannel")
