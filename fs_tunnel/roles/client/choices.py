"""The providers that suited when a tunnel was bought, the best first: a file of root's.

Of each the signed record stands there, as it was judged then. ``chosen`` is the one whose channel
was opened, or was about to be: with the same keys nothing is bought anywhere else, unless it turned
out to be out of reach.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from fs_net.core.records import ProviderRecord, Signed, parse_untrusted
from fs_net.errors import Refused
from fs_tunnel.roles.market_files import MarketFiles, write_private
from fs_wire.errors import SystemChangeError

_SCHEMA = 1
_MOST = 32


@dataclass(frozen=True, slots=True)
class Choices:
    """``chosen`` and ``unreachable`` are places in ``records``.

    None is chosen where no money has moved, and where it lies with the unreachable alone.
    """

    records: tuple[Signed[ProviderRecord], ...]
    chosen: int | None = None
    unreachable: tuple[int, ...] = ()

    @property
    def in_order(self) -> tuple[Signed[ProviderRecord], ...]:
        """The chosen one, and then the others, the best first."""
        chosen = () if self.chosen is None else (self.records[self.chosen],)
        others = (each for place, each in enumerate(self.records) if place != self.chosen)
        return (*chosen, *others)

    @property
    def passed_over(self) -> tuple[Signed[ProviderRecord], ...]:
        """Those with whom there is a channel, and no way to them."""
        return tuple(self.records[place] for place in self.unreachable)


def write(
    files: MarketFiles,
    records: Sequence[Signed[ProviderRecord]],
    chosen: Signed[ProviderRecord] | None = None,
    passed_over: Sequence[Signed[ProviderRecord]] = (),
) -> None:
    """Keep the best of them, and ``chosen`` and those ``passed_over`` wherever they stand."""
    kept = list(records[:_MOST])
    for each in (*passed_over, *([] if chosen is None else [chosen])):
        if each not in kept:
            kept.append(each)
    said = {
        "schema": _SCHEMA,
        "records": [each.raw.hex() for each in kept],
        "chosen": None if chosen is None else kept.index(chosen),
        "unreachable": [kept.index(each) for each in passed_over],
    }
    write_private(files.choices, json.dumps(said).encode() + b"\n")


def read(files: MarketFiles) -> Choices:
    """What was written; nobody where nothing was. SystemChangeError where it cannot be read."""
    try:
        said = json.loads(files.choices.read_bytes())
        records = tuple(
            parse_untrusted(ProviderRecord, bytes.fromhex(each)) for each in said["records"]
        )
        return Choices(records, said["chosen"], tuple(said["unreachable"]))
    except FileNotFoundError:
        return Choices(())
    except (OSError, ValueError, KeyError, TypeError, Refused):
        raise SystemChangeError(f"{files.choices} cannot be read; remove it") from None
