# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Output of the tools for people: progress and tables, in plain text."""

import sys
import time
from collections.abc import Sequence
from typing import Self

_REDRAW_EVERY = 0.2  # seconds


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format rows under a head, in columns; the last column is not padded."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = (head, ["-" * width for width in widths], *rows)
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


class Progress:
    """One line that is redrawn on a terminal; elsewhere it is printed once, at the end."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = ""
        self._drawn_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._shown:
            self._draw(end="\n")

    def show(self, state: str) -> None:
        """Replace the text after the title."""
        self._shown = state
        if sys.stdout.isatty() and time.monotonic() - self._drawn_at > _REDRAW_EVERY:
            self._draw(end="")

    def _draw(self, *, end: str) -> None:
        self._drawn_at = time.monotonic()
        # Return to the start of the line and clear it.
        start = "\r\x1b[K" if sys.stdout.isatty() else ""
        print(f"{start}  {self._what}: {self._shown}", end=end, flush=True)
