# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Two full nodes come to hold the same records: one compares, fetches and delivers.

The other side may be anybody, so its power over us is bounded. The number of rounds is limited, and
nothing is tried twice with the same peer within ten minutes.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fs_net.core.questions import (
    MAX_FETCHED,
    Compare,
    Compared,
    Deliver,
    Delivered,
    Fetch,
    Message,
    Told,
)
from fs_net.errors import Reason, Refused
from fs_net.fullnode.gatherer import Gatherer
from fs_net.fullnode.held import Held

_MAX_QUESTIONS = 24  # to find one set of differences
_MAX_PASSES = 200
_AGAIN = 600_000  # ms until the same record is tried again
_MAX_TRIED = 65_536

Ask = Callable[[Message], Awaitable[Message]]


@dataclass(slots=True)
class Outcome:
    """How many records each side took from the other."""

    fetched: int = 0
    delivered: int = 0


class Sync:
    """The side that begins a comparison."""

    def __init__(self, gatherer: Gatherer, held: Held, clock: Callable[[], int]) -> None:
        """``clock`` gives ms since the epoch."""
        self._gatherer, self._held, self._clock = gatherer, held, clock
        self._tried: OrderedDict[tuple[bytes, bytes], int] = OrderedDict()

    async def with_peer(self, peer: bytes, ask: Ask) -> Outcome:
        """Compare until nothing more can be exchanged; raises Refused for an invalid answer.

        ``ask`` sends a question to the peer, and raises NetError if the peer does not answer.
        """
        outcome = Outcome()
        for _ in range(_MAX_PASSES):
            we_lack, they_lack = await self._compare(ask)
            fetch, deliver = self._untried(peer, we_lack), self._untried(peer, they_lack)
            fetched = 0
            for first in range(0, len(fetch), MAX_FETCHED):
                fetched += await self._fetch(peer, fetch[first : first + MAX_FETCHED], ask)
            delivered = await self._deliver(peer, deliver, ask)
            outcome.fetched += fetched
            outcome.delivered += delivered
            if not fetched and not delivered:
                break
        return outcome

    async def _compare(self, ask: Ask) -> tuple[list[bytes], list[bytes]]:
        snapshot = self._held.snapshot(self._clock())
        message: bytes | None = snapshot.opening()
        we_lack: list[bytes] = []
        they_lack: list[bytes] = []
        for _ in range(_MAX_QUESTIONS):
            if message is None:
                break
            answer = await ask(Compare(message))
            if not isinstance(answer, Compared):
                raise _foreign(answer)
            if not answer.message:
                break
            step = snapshot.answer_untrusted(answer.message)
            we_lack += step.we_lack
            they_lack += step.they_lack
            message = step.answer
        return we_lack, they_lack

    async def _fetch(self, peer: bytes, ids: list[bytes], ask: Ask) -> int:
        answer = await ask(Fetch(tuple(ids)))
        if not isinstance(answer, Told):
            raise _foreign(answer)
        self._note_tried(peer, ids)
        reasons = self._gatherer.take_batch(peer, answer.batch, self._clock())
        return reasons.count(None)

    async def _deliver(self, peer: bytes, ids: list[bytes], ask: Ask) -> int:
        taken = 0
        for data in self._held.batches(ids):
            answer = await ask(Deliver(data))
            if not isinstance(answer, Delivered):
                raise _foreign(answer)
            taken += answer.codes.count(0)
        self._note_tried(peer, ids)
        return taken

    def _untried(self, peer: bytes, ids: list[bytes]) -> list[bytes]:
        limit = self._clock() - _AGAIN
        return [each for each in dict.fromkeys(ids) if self._tried.get((peer, each), 0) <= limit]

    def _note_tried(self, peer: bytes, ids: list[bytes]) -> None:
        for each in ids:
            self._tried[peer, each] = self._clock()
            self._tried.move_to_end((peer, each))
        while len(self._tried) > _MAX_TRIED:
            self._tried.popitem(last=False)


def _foreign(answer: Message) -> Refused:
    return Refused(
        Reason.MALFORMED, f"{type(answer).__name__} answers another question; ask another full node"
    )
