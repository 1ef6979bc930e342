"""Waiting for something to become true, with a deadline and a reason when it does not."""

import time
from collections.abc import Callable
from typing import TypeVar

from tools.testing import patience

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T], *, what: str, seconds: float = 20.0, every: float = 0.02
) -> T:
    """Return the first true value of ``condition``; AssertionError names ``what`` at the deadline.

    ``seconds`` are those of a quiet machine. They bound failures alone: a passing test leaves at
    once. If somebody refuses to be asked often, ask ``every`` so many seconds.
    """
    seconds = patience.seconds(seconds)
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds:g} s: {what} (last value: {value!r})")
        time.sleep(every)
