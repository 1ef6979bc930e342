# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Horizontal bars as SVG, made without a library, readable on light and dark pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _NAMES, _VALUES = 720, 150, 80  # widths of the picture, and of the columns beside the bars
_LINE, _BAR, _TITLE, _GAP = 20, 13, 26, 14
_STYLE = (
    "text{font:12px sans-serif;fill:#444}"
    ".title{font-weight:bold}"
    ".bar{fill:#9ab}"
    ".first{fill:#2a6fbb}"
    "@media(prefers-color-scheme:dark){text{fill:#ccc}.bar{fill:#678}.first{fill:#5a9fe0}}"
)


@dataclass(frozen=True)
class Bar:
    """A program's name and value."""

    name: str
    value: float


@dataclass(frozen=True)
class Chart:
    """Bars of one scale."""

    title: str
    bars: Sequence[Bar]
    digits: int = 0


def draw(charts: Sequence[Chart], *, stressed: str = "flowshield") -> str:
    """Draw all charts, one below the other; the bars of ``stressed`` stand out."""
    parts: list[str] = []
    top = _GAP
    for chart in charts:
        parts.append(f'<text class="title" x="8" y="{top + 12}">{escape(chart.title)}</text>')
        top += _TITLE
        largest = max((bar.value for bar in chart.bars), default=0.0)
        for bar in chart.bars:
            parts.append(_draw_bar(bar, chart.digits, largest, top, bar.name == stressed))
            top += _LINE
        top += _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top}" '
        f'viewBox="0 0 {_WIDTH} {top}">\n<style>{_STYLE}</style>\n'
        + "".join(f"{part}\n" for part in parts)
        + "</svg>\n"
    )


def _draw_bar(bar: Bar, digits: int, largest: float, top: int, is_stressed: bool) -> str:
    room = _WIDTH - _NAMES - _VALUES
    length = max(1.0, bar.value / largest * room) if largest > 0 else 1.0
    kind = "bar first" if is_stressed else "bar"
    return (
        f'<text x="{_NAMES - 8}" y="{top + 11}" text-anchor="end">{escape(bar.name)}</text>'
        f'<rect class="{kind}" x="{_NAMES}" y="{top}" width="{length:.1f}" height="{_BAR}"/>'
        f'<text x="{_NAMES + length + 6:.1f}" y="{top + 11}">{bar.value:,.{digits}f}</text>'
    )
