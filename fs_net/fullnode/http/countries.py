# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Names of countries and their positions on the page's map; made by ``tools/world_map.py``."""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

MAP_WIDTH, MAP_HEIGHT = 960, 410


@dataclass(frozen=True, slots=True)
class Country:
    """A country: its ISO 3166-1 letters, its name, and its middle in units of the map."""

    code: str
    name: str
    x: float
    y: float


@cache
def countries() -> dict[str, Country]:
    """Return all countries, by their two letters."""
    text = resources.files("fs_net.fullnode.http").joinpath("countries.json").read_text("utf-8")
    return {code: Country(code, *said) for code, said in json.loads(text).items()}


def name_of(code: str) -> str:
    """Return the name of a country, or the letters themselves if there is no such country."""
    found = countries().get(code)
    return found.name if found else code
