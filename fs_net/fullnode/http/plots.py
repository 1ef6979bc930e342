# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Plots as SVG. They need no script, and the text beside them says what they show."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from markupsafe import Markup

from fs_net.fullnode.catalogue import UptimePoint

PERCENT = 10_000  # parts of a million
_WIDTH, _HEIGHT = 600, 120
_LEVELS = ((999_000, "full"), (950_000, "high"), (800_000, "some"), (0, "low"))
_SMALLEST, _LARGEST = 4.0, 17.0  # radius of a country's circle

Points = Sequence[tuple[int, int]]  # times in ms and values


def uptime_strip(points: Sequence[UptimePoint], since: int, now: int, step: int) -> Markup:
    """A bar for each interval, as high as its share; a dot if nothing was known yet."""
    shares = {(each.start - since) // step: each for each in points}
    count = max(1, (now - since) // step + 1)
    bars = Markup("").join(_bar(index, shares.get(index), since, step) for index in range(count))
    return Markup(
        '<svg class="strip" viewBox="0 0 {} 40" preserveAspectRatio="none" aria-hidden="true">{}'
        "</svg>"
    ).format(count * 6, bars)


def mean_uptime(points: Sequence[UptimePoint]) -> str | None:
    """Return the average over all intervals, in percent."""
    if not points:
        return None
    return percent(sum(each.share for each in points) // len(points))


def line(points: Points, now: int, *, is_stepped: bool = False, name: str = "") -> Markup:
    """Draw values over time, from zero upwards; a price holds until the next one."""
    if not points:
        return Markup("")
    first = points[0][0]
    span, top = max(1, now - first), max(1, *(value for _, value in points))

    def place(at: int, value: int) -> tuple[float, float]:
        return (at - first) * _WIDTH / span, _HEIGHT - value * (_HEIGHT - 4) / top

    path = _path(points, place, now, is_stepped=is_stepped)
    return Markup(
        '<svg class="line {}" viewBox="0 0 {w} {h}" preserveAspectRatio="none" aria-hidden="true">'
        '<path class="area" d="{}V{h}H0Z"/><path class="stroke" d="{}"/></svg>'
    ).format(name, path, path, w=_WIDTH, h=_HEIGHT)


def bar(share: float) -> Markup:
    """Draw a part of a whole; ``share`` is 0 to 1."""
    return Markup(
        '<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="all" width="100" height="6" rx="3"/>'
        '<rect class="part" width="{}" height="6" rx="3"/></svg>'
    ).format(round(100 * min(1.0, max(0.0, share)), 1))


def radius(count: int, most: int) -> float:
    """Return the radius of a country's circle; its area grows with the number of providers."""
    return round(max(_SMALLEST, _LARGEST * math.sqrt(count / max(1, most))), 1)


def percent(share: int) -> str:
    """Write parts of a million as ``99.87 %``, rounded down."""
    hundredths = share // 100
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def moment(at: int) -> str:
    """Write a time in ms as people read it, in UTC."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%d %b %Y %H:%M UTC")


def day(at: int) -> str:
    """Write only the day of a time in ms."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%d %b %Y")


def _bar(index: int, point: UptimePoint | None, since: int, step: int) -> Markup:
    x = index * 6
    if point is None:
        return Markup('<rect class="unknown" x="{}" y="37" width="4" height="3"/>').format(x)
    level = next(name for least, name in _LEVELS if point.share >= least)
    height = max(3, point.share * 40 // 1_000_000)
    return Markup(
        '<rect class="{}" x="{}" y="{}" width="4" height="{}"><title>{}: {}</title></rect>'
    ).format(level, x, 40 - height, height, moment(since + index * step), percent(point.share))


def _path(
    points: Points,
    place: Callable[[int, int], tuple[float, float]],
    now: int,
    *,
    is_stepped: bool,
) -> str:
    said, before = "", ""
    for at, value in points:
        x, y = place(at, value)
        if said and is_stepped:
            said += f"H{x:.1f}"
        said += f"{before or 'M'}{x:.1f} {y:.1f}"
        before = "L"
    return f"{said}H{place(now, 0)[0]:.1f}"
