# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Answers that are made once for everybody who asks within a second.

A catalogue of thousands of providers changes with each heartbeat, so its version alone would make
every answer anew. An answer is at most ``freshness`` old. It is made again only if the version has
risen since, or if a minute has passed. The ETag is a hash of the answer. So a client whose answer
did not change gets 304, whatever else changed.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Generic, TypeVar

from fs_net.fullnode.catalogue import Catalogue

FRESHNESS = 1.0  # seconds
_LONGEST = 60.0  # seconds, if nothing changes but the time

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """A body, its media type, its headers and its status; ``etag`` covers headers and body."""

    body: bytes
    media_type: str
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 200
    etag: str = field(init=False)

    def __post_init__(self) -> None:
        digest = sha256(repr(self.headers).encode() + self.body).hexdigest()[:32]
        object.__setattr__(self, "etag", f'"{digest}"')


class Recent(Generic[T]):
    """Recently made answers, by question."""

    def __init__(
        self,
        catalogue: Catalogue,
        clock: Callable[[], float],
        most: int,
        freshness: float = FRESHNESS,
    ) -> None:
        """``clock`` is monotonic, in seconds; at most ``most`` answers are kept."""
        self._catalogue, self._clock, self._most = catalogue, clock, most
        self._freshness = freshness
        self._version, self._looked, self._began = -1, float("-inf"), float("-inf")
        self._kept: OrderedDict[Hashable, asyncio.Future[T]] = OrderedDict()

    async def get(
        self,
        question: Hashable,
        make: Callable[[], Coroutine[Any, Any, T]],
        pay: Callable[[], None] | None = None,
    ) -> T:
        """Return a recent answer, or wait for the one that is being made, or call ``make``.

        ``pay`` is called if an answer must be made; it may raise to refuse.
        """
        self._forget_the_old()
        found = self._kept.get(question)
        if found is None or (found.done() and found.cancelled()):
            if pay is not None:
                pay()
            found = self._kept[question] = asyncio.ensure_future(make())
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        try:
            return await asyncio.shield(found)
        except Exception:
            if self._kept.get(question) is found:
                del self._kept[question]
            raise

    def _forget_the_old(self) -> None:
        now = self._clock()
        if now - self._looked < self._freshness:
            return
        self._looked = now
        if self._catalogue.version != self._version or now - self._began >= _LONGEST:
            self._version, self._began = self._catalogue.version, now
            self._kept.clear()
