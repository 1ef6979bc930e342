# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A client once it has a channel: it orders, pays by its own count, and leaves a liar.

``client`` has the theory of operation.
"""

from enum import IntEnum

from fs_market.core.money.accounting import CLOSED
from fs_market.core.money.client_books import ClientBooks
from fs_market.core.money.records import ClientRecord
from fs_market.core.money.vouchers import sign_voucher
from fs_market.core.session.client_states import TRANSITIONS, State
from fs_market.core.session.events import Ended, OpenChannel, ReadCounters
from fs_market.core.session.purchase import ClientConfig
from fs_market.core.session.session import Session
from fs_market.core.wire.channels import channel_id
from fs_market.core.wire.messages import (
    Order,
    QuoteRequest,
    ReceiptAcceptance,
    ReceiptOffer,
    Statement,
    session_digest,
    sign_close,
)
from fs_market.core.wire.receipts import FIRST_RECEIPT, check_follows_untrusted, receipt_digest
from fs_market.core.wire.schema import to_bytes
from fs_market.core.wire.signatures import verify_untrusted
from fs_market.errors import Reason, Refused

ASK_AGAIN_AFTER = 3.0  # seconds without an answer
GIVE_UP_AFTER = 60.0  # seconds without an answer
STARVED_AFTER = 30.0  # seconds without service, although everything is paid


class Timer(IntEnum):
    """The reason for which a deadline is due."""

    ANSWER = 0  # the provider has not answered a question or a payment
    GIVE_UP = 1  # the provider has not answered for a long time
    TICK = 2  # time costs money, too
    STARVED = 3  # everything is paid, and the provider still does not serve


class PayingClient(Session[Timer, ClientBooks, State]):
    """The part of ``ClientSession`` that pays, and that speaks to the provider."""

    def __init__(self, config: ClientConfig) -> None:
        super().__init__(State.IDLE, TRANSITIONS)
        self._config = config
        self._unjudged: dict[type, Statement | ReceiptOffer] = {}  # until we have read the counters

    @property
    def promised(self) -> int:
        """Base units that the client has signed for, in total."""
        return self._books.promised if self._books else 0

    @property
    def is_confirmed(self) -> bool:
        """Whether the provider says that it has everything promised, and that it serves."""
        said = self._books.statement if self._books else None
        return (
            said is not None
            and not (said.suspended or said.final)
            and 0 < said.paid == self.promised
        )

    def close(self, now: float, reason: Reason = Reason.DONE) -> None:
        """Stop: pay the rest of what is owed. A second call does no harm."""
        has_had_service = self.promised > 0 or self.usage.bytes > 0
        if self.state is State.SERVED or (self.state is State.ORDERING and has_had_service):
            self._pass_time(now)
            self._stopwatch.stop()
            self._end_reason = reason
            self._go(State.CLOSING)
            self._timers.stop_all()
            self._ask(now)
        elif self.state not in (State.CLOSING, State.OVER):
            self._end(reason)

    # Claims of the provider.

    def _judge_later(self, claim: Statement | ReceiptOffer) -> None:
        """Judge a claim by fresh counters; a newer claim replaces one that waits for them."""
        self._unjudged[type(claim)] = claim
        self._outbox.tell(ReadCounters())

    def _judge_untrusted(self, now: float) -> None:
        claims, self._unjudged = self._unjudged, {}
        for claim in claims.values():
            try:
                match claim:
                    case Statement() if self.state in (State.SERVED, State.CLOSING):
                        self._take_statement_untrusted(claim, now)
                    case ReceiptOffer() if self.state in (State.SERVED, State.CLOSING):
                        self._sign_receipt_untrusted(claim)
            except Refused as error:
                self.refused[error.reason] += 1

    def _take_statement_untrusted(self, statement: Statement, now: float) -> None:
        books = self._open_books
        try:
            books.take_statement_untrusted(statement)
        except Refused:
            self._end(Reason.COUNTS_DISAGREE)
            raise
        if statement.suspended or statement.final:
            self._stopwatch.stop()
        elif self.state is State.SERVED:
            self._stopwatch.start(now)
        if statement.paid == books.promised and self.state is State.SERVED:
            self._timers.stop(Timer.ANSWER)
            self._timers.stop(Timer.GIVE_UP)

    def _sign_receipt_untrusted(self, offer: ReceiptOffer) -> None:
        receipt, books = offer.receipt, self._open_books
        domain, signed = self._config.domain, books.record.receipt
        digest = receipt_digest(domain, receipt)
        if (receipt,) != signed:
            before = signed[0] if signed else None
            previous = receipt_digest(domain, before) if before else FIRST_RECEIPT
            check_follows_untrusted(receipt, before, previous)
            books.check_counts(receipt.up + receipt.down, receipt.seconds)
            verify_untrusted(digest, offer.signature, books.offer.node)
            books.change(receipt=(receipt,))
            self._journal()
        signature = self._config.session_key.sign(digest)
        self._outbox.send(ReceiptAcceptance(self._channel, receipt.epoch, signature))

    # Payment.

    def _update(self, now: float) -> None:
        """Pay the amount that is due, and set the engine's limits."""
        if self.state not in (State.SERVED, State.CLOSING):
            return
        self._pass_time(now)
        books = self._open_books
        if (amount := books.amount_to_promise) is not None:
            books.change(promised=amount)
            self._journal()
            self._send_voucher()
            self._expect_answer(now)
        if self.state is State.SERVED:
            self._watch_for_starving(now)
            self._set_limits(now)
        elif books.statement is not None and books.statement.final:
            if books.statement.paid == books.promised:
                self._send_close(final=True)
                self._end(self._end_reason)
            elif amount is None:
                self._send_voucher()  # the last one was lost, or came out of turn

    def _watch_for_starving(self, now: float) -> None:
        if self._open_books.is_starving:
            self._timers.start_if_idle(Timer.STARVED, now + STARVED_AFTER)
        else:
            self._timers.stop(Timer.STARVED)

    def _set_limits(self, now: float) -> None:
        limits = self._open_books.limits
        if self._tell_limits(limits) and limits.credit == CLOSED:
            self.close(now, Reason.SPENT)

    # Messages to the provider.

    def _ask(self, now: float) -> None:
        """Repeat everything that waits for an answer."""
        domain = self._config.domain
        match self.state:
            case State.QUOTING:
                self._outbox.send(QuoteRequest(domain.chain_id, domain.contract))
            case State.ORDERING | State.SERVED:
                self._send_order()
                self._send_voucher()
            case State.CLOSING:
                self._send_order()
                self._send_voucher()
                self._send_close(final=False)
            case State.OPENING:
                self._ask_to_open()
                return
            case _:
                return
        self._expect_answer(now)

    def _expect_answer(self, now: float) -> None:
        self._timers.start(Timer.ANSWER, now + ASK_AGAIN_AFTER)
        self._timers.start_if_idle(Timer.GIVE_UP, now + GIVE_UP_AFTER)

    def _send_order(self) -> None:
        """Send an order under the next number.

        An order counts once, and moves the session to the connection that it comes over.
        """
        config, books = self._config, self._open_books
        books.change(orders=books.record.orders + 1)
        self._journal()
        record = books.record
        digest = session_digest(config.domain, self._channel, record.wireguard_key, record.orders)
        signature = config.session_key.sign(digest)
        self._outbox.send(
            Order(record.quote, record.terms, record.wireguard_key, record.orders, signature)
        )

    def _send_close(self, *, final: bool) -> None:
        key, domain = self._config.session_key, self._config.domain
        self._outbox.send(
            sign_close(*(key, domain, self._channel, self._end_reason, self.promised), final=final)
        )

    def _send_voucher(self) -> None:
        if self.promised:
            key, domain = self._config.session_key, self._config.domain
            self._outbox.send(sign_voucher(key, domain, self._channel, self.promised))

    def _ask_to_open(self) -> None:
        record = self._open_books.record
        self._outbox.tell(OpenChannel(self._channel, record.terms, record.deposit))

    # Books.

    def _begin_books(self, record: ClientRecord) -> None:
        self._books = ClientBooks(record, self._config.budget)
        self._channel = channel_id(self._config.domain, record.terms)

    def _journal(self) -> None:
        self._outbox.journal(self._channel, to_bytes(self._open_books.record))

    def _end(self, reason: Reason, *, is_signed: bool = False) -> None:
        """End the session; ``is_signed`` says that the provider has signed the end."""
        self._go(State.OVER)
        self._timers.stop_all()
        self._stopwatch.stop()
        if self._books is not None:
            self._books.change(is_over=self._is_final(is_signed=is_signed))
            self._journal()
        self._outbox.tell(Ended(reason, self.usage, self.promised))

    def _is_final(self, *, is_signed: bool) -> bool:  # noqa: ARG002 - PrepaidSession needs it
        """Whether no later process may resume a session that ends here."""
        return True
