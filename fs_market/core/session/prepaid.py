# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A client that pays once, in advance, for the tunnel of a WireGuard app, which cannot sign.

Theory of operation.  As soon as the client has a place, it promises the whole budget in one
voucher. The session is confirmed when the provider's ``Statement`` says that the provider has the
voucher. From then on our program does not run: nobody counts, judges claims or signs receipts.  The
provider serves until the amount is used up.  So the client trusts it with the whole amount, not
only with one credit window.

The promised service stays bought until the provider signs the end.  Silence, or a refusal, which
anybody could have written, leaves the record unchanged.  A later process can resume the session
with the same voucher.
"""

from fs_market.core.session.client import ClientSession
from fs_market.core.session.client_paying import ASK_AGAIN_AFTER, GIVE_UP_AFTER, Timer
from fs_market.core.session.client_states import State
from fs_market.core.wire.messages import PeerConfig, ReceiptOffer, Statement
from fs_market.errors import Reason


class PrepaidSession(ClientSession):
    """A ``ClientSession`` that has reached its aim when ``is_confirmed`` is true."""

    def close(self, now: float, reason: Reason = Reason.DONE) -> None:
        """Leave.  Do not tell a paid provider, because it would stop serving the app."""
        if not self.promised:
            super().close(now, reason)
        elif self.state is not State.OVER:
            self._end(reason)

    def _update(self, now: float) -> None:
        """Promise the whole budget, once."""
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
        """Send the voucher once we are served.

        It would be out of turn while the provider asks the chain for the channel.
        """
        if self.state is State.SERVED:
            super()._send_voucher()

    def _judge_later(self, claim: Statement | ReceiptOffer) -> None:
        """Check only the paid amount of a statement; ignore receipts, because we do not count."""
        if isinstance(claim, ReceiptOffer):
            return
        self._open_books.check_paid_untrusted(claim)
        self._open_books.statement = claim
        if self.is_confirmed:
            self._timers.stop_all()

    def _is_final(self, *, is_signed: bool) -> bool:
        return is_signed or not self.promised
