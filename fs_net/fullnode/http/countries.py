"""Names of countries, and where the page's map has them; made by ``tools/world_map.py``."""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

MAP_WIDTH, MAP_HEIGHT = 960, 410


@dataclass(frozen=True, slots=True)
class Country:
    """ISO 3166-1 letters, a name, and the middle in units of the map."""

    code: str
    name: str
    x: float
    y: float


@cache
def countries() -> dict[str, Country]:
    """All, by their two letters."""
    text = resources.files("fs_net.fullnode.http").joinpath("countries.json").read_text("utf-8")
    return {code: Country(code, *said) for code, said in json.loads(text).items()}


def name_of(code: str) -> str:
    """The letters themselves where no country has them."""
    found = countries().get(code)
    return found.name if found else code
