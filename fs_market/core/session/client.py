"""The client's side of a session: it pays for what it counted, and leaves who claims more.

Theory of operation.  The client pays without being asked, whenever half of a credit window is owed
by its own count: ``SetLimits.credit_low`` wakes it for bytes, a tick for time.  Vouchers are
answered with a ``Statement`` of the provider's count, which ``client_books`` judges.  The engine's
credit is the user's budget, so that nothing runs away between two looks.

``client_states`` has the states.  Whatever arrives never raises: what is refused is counted.
"""

from enum import IntEnum

from fs_market.core.money.accounting import CLOSED
from fs_market.core.money.channels import Terms, channel_id
from fs_market.core.money.client_books import ClientBooks
from fs_market.core.money.receipts import FIRST_RECEIPT, check_follows_untrusted, receipt_digest
from fs_market.core.money.vouchers import sign_voucher
from fs_market.core.session.client_states import TRANSITIONS, State
from fs_market.core.session.purchase import ClientConfig, reason_against, verify_quote_untrusted
from fs_market.core.session.records import ClientRecord
from fs_market.core.session.session import (
    TICK,
    Configure,
    Ended,
    OpenChannel,
    QuoteReceived,
    ReadCounters,
    Session,
)
from fs_market.core.wire.messages import (
    Close,
    Message,
    Order,
    PeerConfig,
    Quote,
    QuoteRequest,
    ReceiptAcceptance,
    ReceiptOffer,
    Refusal,
    Statement,
    known_reason,
    parse_untrusted,
    screen_close_untrusted,
    session_digest,
    sign_close,
    tunnel_digest,
    verify_close_untrusted,
)
from fs_market.core.wire.schema import to_bytes
from fs_market.core.wire.signatures import verify_untrusted
from fs_market.errors import Reason, Refused, StateError

ASK_AGAIN_AFTER = 3.0  # seconds without an answer
GIVE_UP_AFTER = 60.0  # seconds without an answer
STARVED_AFTER = 30.0  # seconds without service, though all is paid
# Another order is on its way, or will be: a voucher that came with it is out of turn while the
# provider, started again, asks the chain.
_ASKED_AGAIN = (Reason.RATE_LIMITED, Reason.REPLAYED, Reason.UNEXPECTED)


class Timer(IntEnum):
    """Why the session must be looked at."""

    ANSWER = 0  # something was asked or paid, and not answered
    GIVE_UP = 1  # nor after a long time
    TICK = 2  # seconds cost, too
    STARVED = 3  # all is paid, and still nothing is served


class ClientSession(Session[Timer, ClientBooks]):
    """One channel from its quote to its end."""

    def __init__(self, config: ClientConfig, record: ClientRecord | None = None) -> None:
        """``record`` is where an earlier process stopped."""
        super().__init__()
        self._config = config
        self._quote: Quote | None = None
        self._unjudged: dict[type, Statement | ReceiptOffer] = {}  # until it is counted
        self.state = State.IDLE
        if record is not None:
            self._begin_books(record)
            self.state = State.OVER if record.is_over else State.OPENING
            if self.state is State.OPENING and record.is_open:
                self.state = State.ORDERING

    # What the user decides.

    def connect(self, now: float) -> None:
        """A connection to the provider is up, the first or another one."""
        if self.state is State.IDLE:
            self._go(State.QUOTING)
        self._ask(now)

    def accept(self, *, deposit: int, expires_at: int, salt: bytes) -> None:
        """Take the quote: open a channel with ``deposit`` base units until ``expires_at``.

        ``salt`` is 32 random bytes.  StateError where there is no quote to accept.
        """
        if self.state is not State.QUOTED or self._quote is None:
            raise StateError("there is no quote to accept; connect and wait for one")
        offer = self._quote.terms
        if not offer.min_deposit <= deposit <= self._config.budget:
            raise StateError(
                f"a deposit of {deposit} is not between the provider's least, "
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
        """The chain has the channel. StateError where none was to be opened."""
        if self.state is not State.OPENING:
            raise StateError("no channel is being opened; accept a quote first")
        self._open_books.change(is_open=True)
        self._go(State.ORDERING)
        self._journal()
        self._ask(now)

    def reserved(self) -> None:
        """The chain has the channel, and its order is for a later process. StateError as above."""
        if self.state is not State.OPENING:
            raise StateError("no channel is being opened; accept a quote first")
        self._open_books.change(is_open=True)
        self._journal()

    def close(self, now: float, reason: Reason = Reason.DONE) -> None:
        """Stop: pay what is owed, and no more. Asking twice does no harm."""
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

    # What comes in.

    def receive(self, data: bytes, now: float) -> None:
        """Act on a message; what is not acceptable is counted in ``refused``."""
        try:
            self._handle_untrusted(parse_untrusted(data), now)
        except Refused as error:
            self.refused[error.reason] += 1

    def count(self, rx_bytes: int, tx_bytes: int, now: float) -> None:
        """The engine's counters of the provider, as they are."""
        if self.state in (State.ORDERING, State.SERVED, State.CLOSING):
            self._pass_time(now)
            self._open_books.read(up=tx_bytes, down=rx_bytes)
            self._judge_untrusted(now)
            self._update(now)

    # Time.

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

    @property
    def promised(self) -> int:
        """Base units that were signed for in total."""
        return self._books.promised if self._books else 0

    @property
    def is_confirmed(self) -> bool:
        """The provider says that it has all that was promised, and serves for it."""
        said = self._books.statement if self._books else None
        return (
            said is not None
            and not (said.suspended or said.final)
            and 0 < said.paid == self.promised
        )

    # Messages of the provider.

    def _handle_untrusted(self, message: Message, now: float) -> None:
        match message:
            case Quote() if self.state is State.QUOTING:
                self._consider_untrusted(message)
            case PeerConfig() if self.state is State.CLOSING:
                pass  # with the answer to the order that found the provider again
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
        """Refused where the quote is not authentic; the end where the user does not want it."""
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

    def _judge_later(self, claim: Statement | ReceiptOffer) -> None:
        """A claim is compared with counts of now; a newer one replaces one that waits."""
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
            return  # who is served goes by statements, or by silence
        if reason is Reason.NO_CHANNEL:  # the provider's view of the chain is behind ours
            self._timers.stop(Timer.GIVE_UP)
        elif reason not in _ASKED_AGAIN:
            self._end(reason)

    # Payment.

    def _update(self, now: float) -> None:
        """Pay what is due, and say how far the engine may go."""
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
                self._send_voucher()  # it was lost, or came out of turn

    def _watch_for_starving(self, now: float) -> None:
        if self._open_books.is_starving:
            self._timers.start_if_idle(Timer.STARVED, now + STARVED_AFTER)
        else:
            self._timers.stop(Timer.STARVED)

    def _set_limits(self, now: float) -> None:
        limits = self._open_books.limits
        if self._tell_limits(limits) and limits.credit == CLOSED:
            self.close(now, Reason.SPENT)

    # Helpers.

    def _ask(self, now: float) -> None:
        """Say again what waits for an answer."""
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
        """It counts once, and moves the session to the connection that it comes over."""
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

    def _begin_books(self, record: ClientRecord) -> None:
        self._books = ClientBooks(record, self._config.budget)
        self._channel = channel_id(self._config.domain, record.terms)

    def _journal(self) -> None:
        self._outbox.journal(self._channel, to_bytes(self._open_books.record))

    def _end(self, reason: Reason, *, is_signed: bool = False) -> None:
        """``is_signed``: the provider has signed that it is over."""
        self._go(State.OVER)
        self._timers.stop_all()
        self._stopwatch.stop()
        if self._books is not None:
            self._books.change(is_over=self._is_final(is_signed=is_signed))
            self._journal()
        self._outbox.tell(Ended(reason, self.usage, self.promised))

    def _is_final(self, *, is_signed: bool) -> bool:  # noqa: ARG002 - for who pays ahead
        """Whether a session that ends here is not to be taken up again."""
        return True

    def _go(self, state: State) -> None:
        assert state in TRANSITIONS[self.state], f"{self.state} to {state}"
        self.state = state
