# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Scenes: tests that run one after another in one room, and how long they are known to take."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

_LENGTH = 8.0  # s; tests of a file that share nothing are divided into scenes about as long
_SHORT = 0.5  # s; what is shorter is not remembered
_UNKNOWN = 0.05  # s; what is not remembered counts as so long


@dataclass(frozen=True)
class Scene:
    """Some tests of one file, in their order."""

    items: Sequence[pytest.Item]
    seconds: float

    @property
    def name(self) -> str:
        return self.items[0].nodeid


def divide(items: Iterable[pytest.Item], durations: Mapping[str, float]) -> list[Scene]:
    """All tests in scenes, the longest scene first."""
    together: dict[tuple[str, object], list[pytest.Item]] = defaultdict(list)
    for item in items:
        together[item.nodeid.partition("::")[0], _shared(item)].append(item)
    scenes: list[Scene] = []
    for (_, shared), each in together.items():
        pieces = [each] if shared else _pieces(each, durations)
        scenes += [
            Scene(piece, sum(_seconds(item, durations) for item in piece)) for piece in pieces
        ]
    return sorted(scenes, key=lambda scene: -scene.seconds)


def _pieces(
    items: Sequence[pytest.Item], durations: Mapping[str, float]
) -> Iterable[list[pytest.Item]]:
    piece: list[pytest.Item] = []
    length = 0.0
    for item in items:
        seconds = _seconds(item, durations)
        if piece and length + seconds > _LENGTH:
            yield piece
            piece, length = [], 0.0
        piece.append(item)
        length += seconds
    yield piece


def _seconds(item: pytest.Item, durations: Mapping[str, float]) -> float:
    return durations.get(item.nodeid, _UNKNOWN)


def _shared(item: pytest.Item) -> object:
    """The fixtures of its module that a test shares with others: these tests stay together."""
    if not isinstance(item, pytest.Function):
        return ()
    definitions = item._fixtureinfo.name2fixturedefs
    return tuple(
        sorted(
            name for name, found in definitions.items() if any(d.scope == "module" for d in found)
        )
    )


def remembered(path: Path) -> dict[str, float]:
    """The seconds of tests that are known to take some."""
    try:
        read: dict[str, float] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return read


def remember(path: Path, seconds: Mapping[str, float]) -> None:
    """Replace what is known of the tests in ``seconds``."""
    known = {**remembered(path), **seconds}
    kept = {name: round(known[name], 1) for name in sorted(known) if known[name] >= _SHORT}
    path.write_text(json.dumps(kept, indent=0) + "\n")
