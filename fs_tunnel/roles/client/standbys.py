# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Standbys: providers with an open channel, whose place is ordered once the tunnel needs it.

They are in the file ``NAME.standbys``, which only root can read. The file also has each move of the
tunnel. An intended move is written down before anything changes, so that an interrupted mover finds
it there and goes on.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from fs_tunnel.helper.records import UnknownRecord
from fs_tunnel.linux.journal.plans import Protection
from fs_tunnel.roles.client.places import Place
from fs_tunnel.roles.market_files import unreadable, write_private
from fs_tunnel.roles.starts import CODEC, OrderStart


@dataclass(frozen=True, slots=True)
class StandBy:
    """One provider: the user's name for it, where it takes orders, and the start of its agent."""

    provider: str
    address: str
    port: int
    start: OrderStart
    refusal: str | None = None  # why it cannot be moved to


@dataclass(frozen=True, slots=True)
class Move:
    """From one provider to another, at a Unix time."""

    at: int
    origin: str
    target: str
    why: str


@dataclass(frozen=True, slots=True)
class Intention:
    """A decided move to the place that the next provider gave."""

    move: Move
    place: Place
    start: OrderStart


@dataclass(frozen=True, slots=True)
class Standbys:
    """The standbys of one tunnel, the best first, and how the tunnel got to where it is."""

    current: str
    protection: Protection = field(default_factory=Protection)
    waiting: tuple[StandBy, ...] = ()
    moves: tuple[Move, ...] = ()
    intention: Intention | None = None
    version: Literal[1] = 1

    @property
    def ready(self) -> list[StandBy]:
        """The standbys that have not refused."""
        return [each for each in self.waiting if each.refusal is None]

    def refused(self, standby: StandBy, why: str) -> "Standbys":
        """The standby gives no place, and is not asked again."""
        waiting = (replace(each, refusal=why) if each == standby else each for each in self.waiting)
        return replace(self, waiting=tuple(waiting))

    def decided(self, standby: StandBy, place: Place, at: int, why: str) -> "Standbys":
        """The standby gave a place, and the tunnel is going to move there."""
        move = Move(at, self.current, standby.provider, why)
        waiting = tuple(each for each in self.waiting if each != standby)
        return replace(self, waiting=waiting, intention=Intention(move, place, standby.start))

    def moved(self) -> "Standbys":
        """The intended move is done."""
        assert self.intention is not None
        move = self.intention.move
        return replace(self, current=move.target, moves=(*self.moves, move), intention=None)


def write(file: Path, standbys: Standbys) -> None:
    """Replace the file; SystemChangeError if it cannot be written."""
    write_private(file, CODEC.to_line(standbys))


def read(file: Path) -> Standbys | None:
    """The content of the file; None if there is no file, SystemChangeError if it is unreadable."""
    try:
        return CODEC.from_line(Standbys, file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, UnknownRecord):
        raise unreadable(file) from None
