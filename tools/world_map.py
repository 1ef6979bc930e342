# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Draw the page's map of the world: ``python -m tools.world_map``; commit the result.

The outlines are Natural Earth's (public domain), from npm's ``world-atlas``. Codes and names of ISO
3166-1 are from ``i18n-iso-countries`` (MIT). The lock file of ``tests/net/page`` pins both.
"""

import itertools
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PACKAGES = ROOT / "tests" / "net" / "page" / "node_modules"
STATIC = ROOT / "fs_net" / "fullnode" / "http" / "static"
COUNTRIES = ROOT / "fs_net" / "fullnode" / "http" / "countries.json"
WIDTH, HEIGHT = 960, 410  # of the drawing, which omits Antarctica
_TOP, _SCALE = 8.0, 172.0
_FINE = 2  # steps of the grid in one unit of the drawing

Point = tuple[float, float]

# Positions in degrees of longitude and latitude, for two kinds of countries: those that the package
# lacks, and those whose computed middle would be in an overseas part.
_PLACES = {
    "FR": (2.5, 46.6),
    "NO": (9.5, 61.3),
    "US": (-98.5, 39.5),
    "NL": (5.5, 52.2),
    "GF": (-53.1, 4.0),
    "GP": (-61.5, 16.2),
    "MQ": (-61.0, 14.6),
    "RE": (55.5, -21.1),
    "YT": (45.1, -12.8),
    "GI": (-5.35, 36.1),
    "BQ": (-68.3, 12.2),
    "SJ": (16.0, 78.0),
    "CC": (96.8, -12.1),
    "CX": (105.6, -10.5),
    "TK": (-171.8, -9.2),
    "BV": (3.4, -54.4),
    "TV": (179.2, -8.5),
    "UM": (166.6, 19.3),
    "SX": (-63.05, 18.04),
    "XK": (20.9, 42.6),
}
_NAMES = {"MK": "North Macedonia", "US": "United States"}
_STYLE = (
    "path{fill:#dfe5ea;stroke:#fff;stroke-width:.5;stroke-linejoin:round}"
    "@media(prefers-color-scheme:dark){path{fill:#2b3540;stroke:#151b21}}"
)


def main() -> None:
    """Write the table of countries and the outline."""
    for file, text in drawn().items():
        file.write_text(text)


def drawn() -> dict[Path, str]:
    """Return the files with the text that they must have."""
    atlas, iso = PACKAGES / "world-atlas", PACKAGES / "i18n-iso-countries"
    coarse = _Atlas(json.loads((atlas / "countries-110m.json").read_text()))
    fine = _Atlas(json.loads((atlas / "countries-50m.json").read_text()))
    codes = json.loads((iso / "codes.json").read_text())
    names = json.loads((iso / "langs" / "en.json").read_text())["countries"]
    return {COUNTRIES: _table(fine, codes, names), STATIC / "world.svg": _outline(coarse)}


def _table(atlas: "_Atlas", codes: list[list[str]], names: dict[str, str | list[str]]) -> str:
    short = {number: name for number, name in atlas.names() if "." not in name}
    lines = []
    for letters, _, number, _ in sorted(codes):
        place = _PLACES.get(letters) or atlas.middle(number)
        name = _NAMES.get(letters) or short.get(number) or _first(names[letters])
        lines.append(f"{json.dumps(letters)}: {json.dumps([name, *project(*place)])}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _outline(atlas: "_Atlas") -> str:
    path = "".join(_path(part) for ring in atlas.rings(leave_out="010") for part in _in_range(ring))
    return (
        "<!-- Made by tools/world_map.py from Natural Earth, public domain. -->\n"
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'<style>{_STYLE}</style><path d="{path}"/></svg>\n'
    )


def project(longitude: float, latitude: float) -> Point:
    """Project degrees by Natural Earth's projection (Šavrič et al. 2011).

    The result is in units of the drawing, from its upper left corner (doi:10.1559/15230406382133).
    """
    lam, phi = math.radians(longitude), math.radians(latitude)
    p2 = phi * phi
    p4 = p2 * p2
    x = lam * (0.8707 - 0.131979 * p2 + p4 * (-0.013791 + p4 * (0.003971 * p2 - 0.001529 * p4)))
    y = phi * (1.007226 + p2 * (0.015085 + p4 * (-0.044475 + 0.028874 * p2 - 0.005916 * p4)))
    top = 1.4223  # y at 90 degrees north
    return round(WIDTH / 2 + _SCALE * x, 1), round(_TOP + _SCALE * (top - y) - 20, 1)


class _Atlas:
    """A TopoJSON topology of countries (github.com/topojson/topojson-specification)."""

    def __init__(self, topology: dict[str, Any]) -> None:
        scale, shift = topology["transform"]["scale"], topology["transform"]["translate"]
        self._arcs = [list(_absolute(arc, scale, shift)) for arc in topology["arcs"]]
        self._countries = topology["objects"]["countries"]["geometries"]

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield numbers and names as maps show them; some names are abbreviated."""
        return (
            (each["id"], each["properties"]["name"]) for each in self._countries if "id" in each
        )

    def rings(self, leave_out: str) -> Iterator[list[Point]]:
        for country in self._countries:
            if country.get("id") != leave_out:
                yield from self._rings(country)

    def middle(self, number: str) -> Point:
        """Return the centroid of the country's largest piece."""
        rings = [
            ring
            for each in self._countries
            if each.get("id") == number
            for ring in self._rings(each)
        ]
        return _centroid(max(rings, key=lambda ring: abs(_area(ring))))

    def _rings(self, country: dict[str, Any]) -> Iterator[list[Point]]:
        """Yield outer rings only; holes are other countries, which are drawn anyway."""
        arcs = country["arcs"]
        for polygon in arcs if country["type"] == "MultiPolygon" else [arcs]:
            yield self._ring(polygon[0])

    def _ring(self, arcs: list[int]) -> list[Point]:
        points: list[Point] = []
        for each in arcs:
            arc = self._arcs[each] if each >= 0 else self._arcs[~each][::-1]
            points += arc[1:] if points else arc
        return list(_unwrapped(points))


def _absolute(arc: list[list[int]], scale: list[float], shift: list[float]) -> Iterator[Point]:
    x = y = 0
    for dx, dy in arc:
        x, y = x + dx, y + dy
        yield x * scale[0] + shift[0], y * scale[1] + shift[1]


def _unwrapped(ring: list[Point]) -> Iterator[Point]:
    """Remove the jump at the antimeridian; longitudes may then exceed 180 degrees."""
    turns, before = 0, ring[0][0]
    for longitude, latitude in ring:
        turns += (before - longitude > 180) - (longitude - before > 180)
        before = longitude
        yield longitude + 360 * turns, latitude


def _in_range(ring: list[Point]) -> Iterator[list[Point]]:
    """Yield the parts of a ring on each side of the antimeridian, in usual longitudes."""
    for shift in (-360, 0, 360):
        moved = [(x + shift, y) for x, y in ring]
        part = list(_cut(list(_cut(moved, 180, 1)), -180, -1))
        if part:
            yield part


def _cut(ring: list[Point], edge: float, sign: int) -> Iterator[Point]:
    """Clip a ring at one meridian (Sutherland and Hodgman)."""
    for (x, y), (u, v) in zip(ring, ring[1:] + ring[:1], strict=True):
        is_in, next_is_in = sign * x <= sign * edge, sign * u <= sign * edge
        if is_in:
            yield x, y
        if is_in != next_is_in:
            yield edge, y + (v - y) * (edge - x) / (u - x)


def _crosses(ring: list[Point]) -> Iterator[tuple[Point, float]]:
    for (x, y), (u, v) in zip(ring, ring[1:] + ring[:1], strict=True):
        yield (x + u, y + v), x * v - u * y


def _area(ring: list[Point]) -> float:
    return sum(cross for _, cross in _crosses(ring)) / 2


def _centroid(ring: list[Point]) -> Point:
    area = _area(ring) * 6
    return (
        sum(x * cross for (x, _), cross in _crosses(ring)) / area,
        sum(y * cross for (_, y), cross in _crosses(ring)) / area,
    )


def _first(name: str | list[str]) -> str:
    return name if isinstance(name, str) else name[0]


def _path(ring: Iterable[Point]) -> str:
    """Write a ring in steps of the grid, each relative to the point before."""
    points = [(round(x * _FINE), round(y * _FINE)) for x, y in (project(*each) for each in ring)]
    (x, y), *_ = points
    steps = (
        f"{_number(u - s)} {_number(v - t)}"
        for (s, t), (u, v) in itertools.pairwise(points)
        if (s, t) != (u, v)
    )
    line = " ".join(steps)
    return f"M{_number(x)} {_number(y)}l{line}z" if line else ""


def _number(steps: int) -> str:
    return f"{steps / _FINE:g}"


if __name__ == "__main__":
    main()
