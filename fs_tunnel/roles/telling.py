"""What an agent tells whoever started it: lines of JSON on its standard output."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any

_EVERY = 0.5  # seconds


def tell(told: dict[str, Any]) -> None:
    """Say something; where nobody listens any more, nothing."""
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


async def keep_telling(describe: Callable[[], dict[str, Any]]) -> None:
    """Say how things are whenever they have changed."""
    before = None
    while True:
        now = describe()
        if now != before:
            tell(now)
            before = now
        await asyncio.sleep(_EVERY)
