"""A client that pays once, ahead, for a tunnel of somebody who cannot sign: a WireGuard app.

Theory of operation.  As soon as there is a place, one voucher promises the whole budget, and the
session is confirmed when the provider's ``Statement`` says that it has it.  From then on nobody of
ours is there: nothing is counted, no claim is judged and no receipt signed, and the provider serves
until the amount is used up.  So it is trusted with all of it, where others trust with a window.

What was promised stays bought until the provider signs that it is over: silence, or a refusal that
anybody could have written, leaves the record as it is, to be taken up again with the same voucher.
"""

from fs_market.core.session.client import ASK_AGAIN_AFTER, GIVE_UP_AFTER, ClientSession, Timer
from fs_market.core.session.client_states import State
from fs_market.core.wire.messages import PeerConfig, ReceiptOffer, Statement
from fs_market.errors import Reason


class PrepaidSession(ClientSession):
    """``ClientSession``, of which ``is_confirmed`` is the aim."""

    def close(self, now: float, reason: Reason = Reason.DONE) -> None:
        """Leave. The provider is not told of it once it was paid: it would serve no more."""
        if not self.promised:
            super().close(now, reason)
        elif self.state is not State.OVER:
            self._end(reason)

    def _update(self, now: float) -> None:
        """Promise all that may be, once."""
        if self.state is not State.SERVED:
            return
        books = self._open_books
        if not books.promised:
            books.change(promised=books.cap)
            self._journal()
        if not self.is_confirmed:
            self._timers.start_if_idle(Timer.ANSWER, now + ASK_AGAIN_AFTER)
            self._timers.start_if_idle(Timer.GIVE_UP, now + GIVE_UP_AFTER)

    def _configure_untrusted(self, config: PeerConfig, now: float) -> None:
        super()._configure_untrusted(config, now)
        if not self.is_confirmed:
            self._send_voucher()

    def _send_voucher(self) -> None:
        """While the provider asks the chain for the channel, a voucher would be out of turn."""
        if self.state is State.SERVED:
            super()._send_voucher()

    def _judge_later(self, claim: Statement | ReceiptOffer) -> None:
        """Of a statement, only what is paid; a receipt is of what we have not seen."""
        if isinstance(claim, ReceiptOffer):
            return
        self._open_books.check_paid_untrusted(claim)
        self._open_books.statement = claim
        if self.is_confirmed:
            self._timers.stop_all()

    def _is_final(self, *, is_signed: bool) -> bool:
        return is_signed or not self.promised
