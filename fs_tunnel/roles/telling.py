# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""An agent tells the process that started it, in lines of JSON on its standard output."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any

_EVERY = 0.5  # seconds


def tell(told: dict[str, Any]) -> None:
    """Say something, unless nobody listens any more."""
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


async def keep_telling(describe: Callable[[], dict[str, Any]]) -> None:
    """Say how things are, at first and after each change."""
    before = None
    while True:
        now = describe()
        if now != before:
            tell(now)
            before = now
        await asyncio.sleep(_EVERY)
