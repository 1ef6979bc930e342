# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A full node's answers to ``core.questions``. No IO: time is an argument.

A peer may ask as often as its streams allow. Costly questions are bounded for each peer, and for
all peers together.
"""

from collections.abc import Callable, Sequence

from fs_net.core.batch import Batch
from fs_net.core.matching import Match, Order, Wishes
from fs_net.core.questions import (
    MAX_FOUND,
    UNMEASURED,
    Compare,
    Compared,
    Deliver,
    Delivered,
    Fetch,
    Find,
    Found,
    Hit,
    Message,
    Told,
    declined,
    parse_untrusted,
    serialize,
)
from fs_net.errors import Reason, Refused
from fs_net.fullnode.gatherer import Gatherer
from fs_net.fullnode.held import Held
from fs_wire.ratelimit import RateLimiter
from fs_wire.schema import to_bytes

_MAX_PEERS = 8192
_ALL = b""  # the source under which all peers are counted together

Search = Callable[[Wishes, Order], Sequence[Match]]


class _Bound:
    """How many questions of a kind are allowed a second: from one peer, and from all."""

    def __init__(self, each: float, burst: float, all_of_them: float) -> None:
        self._each = RateLimiter(each, burst, _MAX_PEERS)
        self._all = RateLimiter(all_of_them, 4 * all_of_them)

    def check(self, peer: bytes, now: int) -> None:
        seconds = now / 1000
        if not (self._each.allow(peer, seconds) and self._all.allow(_ALL, seconds)):
            raise Refused(Reason.RATE_LIMITED, "too many questions; ask another full node")


class Answers:
    """Answers each question; an invalid question gets ``Declined``."""

    def __init__(self, gatherer: Gatherer, held: Held, search: Search) -> None:
        self._gatherer, self._held, self._search = gatherer, held, search
        self._compares = _Bound(10, 100, 50)  # each takes some ms at 10,000 providers
        self._finds = _Bound(1, 10, 5)  # each takes up to 90 ms

    def answer(self, peer: bytes, question: bytes, now: int) -> bytes:
        """Return the answer in wire format; ``now`` is in ms since the epoch."""
        try:
            if self._gatherer.judge.is_banned(peer, now):
                raise Refused(Reason.BANNED, "the sender broke too many rules; wait some minutes")
            return serialize(self._answer(peer, parse_untrusted(question), now))
        except Refused as refused:
            if refused.reason is not Reason.BANNED:
                self._gatherer.blame(peer, refused.reason, now)
            return serialize(declined(refused.reason))

    def _answer(self, peer: bytes, question: Message, now: int) -> Message:
        match question:
            case Compare(message):
                self._compares.check(peer, now)
                step = self._held.snapshot(now).answer_untrusted(message, is_asked=True)
                return Compared(step.answer or b"")
            case Fetch(ids):
                records = tuple(record.raw for record in self._held.get(ids))
                return Told(to_bytes(Batch(records, ())))
            case Deliver(data):
                return Delivered.of(self._gatherer.take_batch(peer, data, now))
            case Find():
                self._finds.check(peer, now)
                return self._found(question)
        raise Refused(Reason.MALFORMED, "the message is an answer, not a question; ask a question")

    def _found(self, question: Find) -> Found:
        matches = self._search(question.wishes, question.order)
        hits = tuple(
            Hit(
                each.candidate.entry.record.raw,
                each.candidate.entry.heartbeat.raw if each.candidate.entry.heartbeat else b"",
                UNMEASURED if each.candidate.uptime is None else each.candidate.uptime,
            )
            for each in matches[question.skip : question.skip + MAX_FOUND]
        )
        return Found(hits, len(matches))
