# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Wait for a condition until a deadline, and give a reason if it never holds."""

import time
from collections.abc import Callable
from typing import TypeVar

from tools.testing import patience

T = TypeVar("T")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.4  # seconds


def wait_until(
    condition: Callable[[], T], *, what: str, seconds: float = 20.0, every: float | None = None
) -> T:
    """Return the first true value of ``condition``; at the deadline, AssertionError names ``what``.

    ``seconds`` are those of a quiet machine. They bound failures alone, as a passing test goes on
    at once. The pauses between two looks grow, so a long wait costs little. ``every`` fixes them.
    """
    pause = every or _FIRST_PAUSE
    seconds = patience.seconds(seconds)
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds:g} s: {what} (last value: {value!r})")
        time.sleep(pause)
        pause = every or min(_LONGEST_PAUSE, pause * 1.3)
