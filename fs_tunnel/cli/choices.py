"""The providers that suited when a tunnel was bought, the best first: a file of root's.

Of each the signed record stands there, as it was judged then. ``chosen`` is the one whose channel
was opened, or was about to be: with the same keys nothing is bought anywhere else.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from fs_net.core.records import ProviderRecord, Signed, parse_untrusted
from fs_net.errors import Refused
from fs_tunnel.cli.market_files import MarketFiles, write_private
from fs_tunnel.errors import SystemChangeError

_SCHEMA = 1
_MOST = 32


@dataclass(frozen=True, slots=True)
class Choices:
    """``chosen`` is a place in ``records``; None where no money has moved."""

    records: tuple[Signed[ProviderRecord], ...]
    chosen: int | None = None

    @property
    def runners_up(self) -> tuple[Signed[ProviderRecord], ...]:
        """All but the chosen one, the best first."""
        return tuple(each for place, each in enumerate(self.records) if place != self.chosen)


def write(
    files: MarketFiles,
    records: Sequence[Signed[ProviderRecord]],
    chosen: Signed[ProviderRecord] | None = None,
) -> None:
    """Keep the best of them, and ``chosen`` wherever it stands."""
    kept = list(records[:_MOST])
    if chosen is not None and chosen not in kept:
        kept.append(chosen)
    said = {
        "schema": _SCHEMA,
        "records": [each.raw.hex() for each in kept],
        "chosen": None if chosen is None else kept.index(chosen),
    }
    write_private(files.choices, json.dumps(said).encode() + b"\n")


def read(files: MarketFiles) -> Choices:
    """What was written; nobody where nothing was. SystemChangeError where it cannot be read."""
    try:
        said = json.loads(files.choices.read_bytes())
        records = tuple(
            parse_untrusted(ProviderRecord, bytes.fromhex(each)) for each in said["records"]
        )
        return Choices(records, said["chosen"])
    except FileNotFoundError:
        return Choices(())
    except (OSError, ValueError, KeyError, TypeError, Refused):
        raise SystemChangeError(f"{files.choices} cannot be read; remove it") from None
