"""Waiting for something to become true, with a deadline and a reason when it does not."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T], *, what: str, seconds: float = 20.0 * 5, every: float = 0.02
) -> T:
    """Return the first true value of ``condition``; AssertionError names ``what`` at the deadline.

    The deadline is generous because it only bounds failures: a passing test leaves at once. Who
    asks somebody that refuses to be asked often, asks ``every`` so many seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds:g} s: {what} (last value: {value!r})")
        time.sleep(every)
