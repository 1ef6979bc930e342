"""Providers that stand by: a channel with each is open, and its place is ordered when it is needed.

They lie in ``NAME.standbys`` beside a market's other files, root's alone, with what the tunnel's
next place is built from, and with every move, whose intention is written down before anything is
changed: whoever is killed half-way finds it there.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fs_tunnel.linux.firewall.kill_switch import Inbound
from fs_tunnel.linux.journal.plans import Protection
from fs_tunnel.roles.market_files import write_private
from fs_wire.errors import SystemChangeError
from fs_wire.types import parse_network


@dataclass(frozen=True, slots=True)
class StandBy:
    """One provider: as the user named it, where it takes orders, and how its agent is started."""

    provider: str
    address: str
    port: int
    start: dict[str, Any]
    refusal: str | None = None  # why nothing came of it


@dataclass(frozen=True, slots=True)
class Move:
    """From one provider to another, at a Unix time."""

    at: int
    origin: str
    target: str
    why: str


@dataclass(frozen=True, slots=True)
class Intention:
    """A move that was decided, with the place as the agent told it."""

    move: Move
    place: dict[str, Any]
    start: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Standbys:
    """All of one tunnel, best first, and how it came to where it is."""

    current: str
    protection: dict[str, Any] = field(default_factory=dict)
    waiting: tuple[StandBy, ...] = ()
    moves: tuple[Move, ...] = ()
    intention: Intention | None = None

    @property
    def ready(self) -> list[StandBy]:
        """Those of whom something may come."""
        return [each for each in self.waiting if each.refusal is None]

    def protected(self, protection: Protection) -> "Standbys":
        """With what ``up`` was asked to leave outside."""
        told = {
            "kill_switch": protection.kill_switch,
            "allow_lan": protection.allow_lan,
            "excluded": [str(each) for each in protection.excluded],
            "only": [str(each) for each in protection.only],
            "inbound": [[str(each.source), each.port] for each in protection.inbound],
        }
        return replace(self, protection=told)

    def to_protection(self) -> Protection:
        """The same again."""
        told = self.protection
        return Protection(
            told["kill_switch"],
            told["allow_lan"],
            tuple(map(parse_network, told["excluded"])),
            tuple(map(parse_network, told["only"])),
            tuple(Inbound(parse_network(source), port) for source, port in told["inbound"]),
        )

    def refused(self, standby: StandBy, why: str) -> "Standbys":
        """Nothing more is to be had of this one."""
        waiting = (replace(each, refusal=why) if each == standby else each for each in self.waiting)
        return replace(self, waiting=tuple(waiting))

    def decided(self, standby: StandBy, place: dict[str, Any], at: int, why: str) -> "Standbys":
        """It has given a place: there the tunnel goes."""
        move = Move(at, self.current, standby.provider, why)
        waiting = tuple(each for each in self.waiting if each != standby)
        return replace(self, waiting=waiting, intention=Intention(move, place, standby.start))

    def moved(self) -> "Standbys":
        """The tunnel is where it was to go."""
        assert self.intention is not None
        move = self.intention.move
        return replace(self, current=move.target, moves=(*self.moves, move), intention=None)


def write(file: Path, standbys: Standbys) -> None:
    """Replace what stands there; SystemChangeError where it cannot be written."""
    write_private(file, json.dumps(asdict(standbys)).encode() + b"\n")


def read(file: Path) -> Standbys | None:
    """What stands there; None where there is none. SystemChangeError where it is damaged."""
    try:
        told = json.loads(file.read_bytes())
        intention = told["intention"]
        return Standbys(
            told["current"],
            told["protection"],
            tuple(StandBy(**each) for each in told["waiting"]),
            tuple(Move(**each) for each in told["moves"]),
            intention and Intention(**{**intention, "move": Move(**intention["move"])}),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise SystemChangeError(f"{file} cannot be read; remove it") from None
