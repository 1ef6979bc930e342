# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The client's side of a session: it pays for its own count, and leaves a dishonest provider.

Theory of operation.  The client pays without being asked, whenever it owes half of a credit window
by its own count.  ``SetLimits.credit_low`` wakes it for bytes, a tick for time.  The provider
answers a voucher with a ``Statement`` of its own count, which ``client_books`` judges.  The
engine's credit is the user's budget, so that no more than the budget can pass between two looks.

``client_states`` has the states, and ``client_paying`` the payments.  A message never raises an
error: the session counts what it refuses.
"""

from fs_market.core.money.records import ClientRecord
from fs_market.core.session.client_paying import PayingClient, Timer
from fs_market.core.session.client_states import State
from fs_market.core.session.events import Configure, QuoteReceived
from fs_market.core.session.purchase import ClientConfig, reason_against, verify_quote_untrusted
from fs_market.core.session.session import TICK
from fs_market.core.wire.channels import Terms
from fs_market.core.wire.messages import (
    Close,
    Message,
    PeerConfig,
    Quote,
    ReceiptOffer,
    Refusal,
    Statement,
    known_reason,
    screen_close_untrusted,
    tunnel_digest,
    verify_close_untrusted,
)
from fs_market.core.wire.signatures import verify_untrusted
from fs_market.errors import Reason, Refused, StateError

# After one of these refusals another order is on its way, or will be.  While a restarted provider
# asks the chain for the channel, the voucher that follows the order is out of turn.
_ASKED_AGAIN = (Reason.RATE_LIMITED, Reason.REPLAYED, Reason.UNEXPECTED)


class ClientSession(PayingClient):
    """One channel from its quote to its end."""

    def __init__(self, config: ClientConfig, record: ClientRecord | None = None) -> None:
        """Begin anew, or go on from the ``record`` of an earlier process."""
        super().__init__(config)
        self._quote: Quote | None = None
        if record is not None:
            self._begin_books(record)
            self.state = State.OVER if record.is_over else State.OPENING
            if self.state is State.OPENING and record.is_open:
                self.state = State.ORDERING

    # Decisions of the user.

    def connect(self, now: float) -> None:
        """Note that a connection to the provider is up, the first or another one."""
        if self.state is State.IDLE:
            self._go(State.QUOTING)
        self._ask(now)

    def accept(self, *, deposit: int, expires_at: int, salt: bytes) -> None:
        """Accept the quote: open a channel with ``deposit`` base units.

        ``expires_at`` is in seconds since the epoch, and ``salt`` is 32 random bytes.  Raise
        StateError if there is no quote to accept, or if the deposit does not suit.
        """
        if self.state is not State.QUOTED or self._quote is None:
            raise StateError("there is no quote to accept; connect and wait for one")
        offer = self._quote.terms
        if not offer.min_deposit <= deposit <= self._config.budget:
            raise StateError(
                f"a deposit of {deposit} is not between the provider's minimum, "
                f"{offer.min_deposit}, and the budget, {self._config.budget}; choose another"
            )
        key = self._config.session_key.address
        terms = Terms(
            *(self._config.payer, offer.payee, key, offer.close_window, expires_at),
            *(offer.digest, salt),
        )
        self._begin_books(ClientRecord(self._quote, terms, deposit, self._config.wireguard_key))
        self._go(State.OPENING)
        self._journal()
        self._ask_to_open()

    def opened(self, now: float) -> None:
        """Note that the chain has the channel. Raise StateError if none was to be opened."""
        self._note_opening()
        self._go(State.ORDERING)
        self._journal()
        self._ask(now)

    def reserved(self) -> None:
        """Note that the chain has the channel, which a later process will order.

        Raise StateError if no channel was to be opened.
        """
        self._note_opening()
        self._journal()

    # Input.

    def count(self, rx_bytes: int, tx_bytes: int, now: float) -> None:
        """Take the engine's counters of the provider, in bytes, as they are."""
        if self.state in (State.ORDERING, State.SERVED, State.CLOSING):
            self._pass_time(now)
            self._open_books.read(up=tx_bytes, down=rx_bytes)
            self._judge_untrusted(now)
            self._update(now)

    def handle_timer(self, now: float) -> None:
        """Act on every deadline up to ``now``."""
        for timer in self._timers.take_due(now):
            match timer:
                case _ if self.state is State.OVER:
                    break
                case Timer.ANSWER:
                    self._ask(now)
                case Timer.GIVE_UP:
                    is_closing = self.state is State.CLOSING
                    self._end(self._end_reason if is_closing else Reason.SILENT)
                case Timer.STARVED:
                    self._end(Reason.STARVED)
                case Timer.TICK:
                    self._timers.start(Timer.TICK, now + TICK)
                    self._update(now)

    # Messages of the provider.

    def _handle_untrusted(self, message: Message, now: float) -> None:
        match message:
            case Quote() if self.state is State.QUOTING:
                self._consider_untrusted(message)
            case PeerConfig() if self.state is State.CLOSING:
                pass  # it answers the order with which we found the provider again
            case PeerConfig() if self.state in (State.ORDERING, State.SERVED):
                self._check_channel(message.tunnel.channel)
                self._configure_untrusted(message, now)
            case Statement() if self.state in (State.SERVED, State.CLOSING):
                self._check_channel(message.channel)
                self._judge_later(message)
            case ReceiptOffer() if self.state in (State.SERVED, State.CLOSING):
                self._check_channel(message.receipt.channel)
                self._judge_later(message)
            case Close() if self.state in (State.ORDERING, State.SERVED, State.CLOSING):
                self._check_channel(message.channel)
                self._take_close_untrusted(message, now)
            case Refusal():
                self._take_refusal(message.reason)
            case _ if self.state is State.OVER:
                pass
            case _:
                raise Refused(Reason.UNEXPECTED, "a message came out of turn; connect again")

    def _consider_untrusted(self, quote: Quote) -> None:
        """Tell the user of a quote, or end the session if the quote is outside of the limits.

        Raise Refused if the quote is not authentic.
        """
        verify_quote_untrusted(self._config, quote)
        if (reason := reason_against(self._config, quote.terms)) is not None:
            self._end(reason)
        else:
            self._quote = quote
            self._timers.stop_all()
            self._go(State.QUOTED)
            self._outbox.tell(QuoteReceived(quote))

    def _configure_untrusted(self, config: PeerConfig, now: float) -> None:
        digest = tunnel_digest(self._config.domain, config.tunnel.digest)
        verify_untrusted(digest, config.signature, self._open_books.offer.node)
        if self.state is State.ORDERING:
            self._go(State.SERVED)
            self._timers.stop_all()
            self._timers.start(Timer.TICK, now + TICK)
            self._stopwatch.start(now)
        self._outbox.tell(Configure(config.tunnel))
        self._update(now)

    def _take_close_untrusted(self, message: Close, now: float) -> None:
        books = self._open_books
        heard = books.statement.paid if books.statement else 0
        screen_close_untrusted(message, heard)
        verify_close_untrusted(message, self._config.domain, books.offer.node)
        reason = known_reason(message.reason)
        if message.final:
            self._end(reason, is_signed=True)
        elif self.state is not State.ORDERING:
            self.close(now, reason)

    def _take_refusal(self, reason: Reason) -> None:
        self.refused[reason] += 1
        if self.state not in (State.QUOTING, State.ORDERING):
            return  # a client that is served goes by statements, or by silence
        if reason is Reason.NO_CHANNEL:  # the provider's view of the chain is behind ours
            self._timers.stop(Timer.GIVE_UP)
        elif reason not in _ASKED_AGAIN:
            self._end(reason)

    def _note_opening(self) -> None:
        if self.state is not State.OPENING:
            raise StateError("no channel is being opened; accept a quote first")
        self._open_books.change(is_open=True)
