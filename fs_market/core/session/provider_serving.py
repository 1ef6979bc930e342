# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider once it has an order: it serves as far as credit reaches, and closes its books.

``provider`` has the theory of operation.
"""

from collections.abc import Callable
from enum import IntEnum

from fs_market.core.money.accounting import CLOSED, SetLimits
from fs_market.core.money.provider_books import ProviderBooks
from fs_market.core.money.records import ProviderRecord
from fs_market.core.session.events import Ended, ReadCounters, RemovePeer, Settle
from fs_market.core.session.offers import STOP_BEFORE_EXPIRY, ProviderConfig
from fs_market.core.session.places import Place
from fs_market.core.session.provider_states import TRANSITIONS, State
from fs_market.core.session.session import Session
from fs_market.core.wire.channels import channel_id
from fs_market.core.wire.messages import sign_close
from fs_market.core.wire.schema import to_bytes
from fs_market.errors import Reason

UNPAID_FOR = 60.0  # seconds without credit, or without the last voucher
# Seconds for a client that has paid everything to hear so; it asks again every three seconds.
FAREWELL_FOR = 10.0


class Timer(IntEnum):
    """The reason for which a deadline is due."""

    TICK = 0  # time costs money, too
    UNPAID = 1  # credit or the session has ended, and no voucher or farewell came


class ServingProvider(Session[Timer, ProviderBooks, State]):
    """The part of ``ProviderSession`` that gives service, and that speaks to the client."""

    def __init__(self, config: ProviderConfig, unix_time: Callable[[], int]) -> None:
        """``unix_time()`` is in seconds since the epoch."""
        super().__init__(State.QUOTING, TRANSITIONS)
        self._config, self._unix_time = config, unix_time
        self._place: Place | None = None
        self._is_counted = False  # whether the engine's count is known since the last change
        self._owes_statement = self._owes_record = False  # until the next count
        self._has_warned = False  # of low credit, since the last voucher
        self._has_closed_books = False  # whether the final statement was made
        self.round_trip = 0.1  # seconds to the client and back; the shell may know better

    @property
    def is_paid_ahead(self) -> bool:
        """Whether we owe service to the client, rather than the client a voucher to us."""
        return self._books is not None and self._books.is_paid_ahead

    @property
    def paid(self) -> int:
        """Base units of the highest voucher."""
        return self._books.paid if self._books else 0

    # Service.

    def _update(self, now: float) -> None:
        """Give or stop service by the client's credit, and tell the client and the engine."""
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
        """Stop the traffic, ask for the last count, and wait for the last voucher."""
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
        """Wait only briefly for the farewell of a client that has paid everything.

        The client may have left with its tunnel before its last message was sent.
        """
        if self._has_closed_books and self._open_books.is_paid:
            self._timers.start(Timer.UNPAID, now + FAREWELL_FOR)

    def _look_at_the_calendar(self, now: float) -> None:
        """Close the session if the channel expires soon."""
        ends = self._open_books.record.terms.expires_at - STOP_BEFORE_EXPIRY
        if self.state in (State.SERVING, State.SUSPENDED) and self._unix_time() >= ends:
            self._close(Reason.EXPIRED, now)

    def _offer_receipt(self, *, final: bool) -> None:
        books = self._open_books
        if books.is_epoch_over(final=final):
            books.offer_receipt(self._config.node_key, self._config.domain, self._channel)
            self._journal()
            self._send_offer()

    # Messages to the client.

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
        """Send a statement after a fresh count; the final statement has the last count."""
        self._owes_statement = True
        if self._has_closed_books:
            self._keep_books()
            self._send_statement()
        else:
            self._is_counted = False
            self._outbox.tell(ReadCounters())

    def _send_statement(self) -> None:
        self._owes_statement = False
        is_suspended = self.state is State.SUSPENDED
        statement = self._open_books.statement(
            self._channel, suspended=is_suspended, final=self._has_closed_books
        )
        self._outbox.send(statement)

    # Books.

    def _keep_books(self) -> None:
        """Journal a voucher together with the count when it came; journal a long count, too."""
        if self._owes_record or self._open_books.is_record_old:
            self._journal()

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
