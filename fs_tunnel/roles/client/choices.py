# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The providers that suited when a tunnel was bought, the best first, in a file of root's.

The file has the signed record of each, as it was judged then. ``chosen`` is the one whose channel
was opened, or was about to be. The same keys buy from no other provider, unless the chosen one
turns out to be unreachable.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from fs_net.core.records import ProviderRecord, Signed, parse_untrusted
from fs_net.errors import Refused
from fs_tunnel.roles.market_files import MarketFiles, unreadable, write_private

_SCHEMA = 1
_MOST = 32


@dataclass(frozen=True, slots=True)
class Choices:
    """``chosen`` and ``unreachable`` are positions in ``records``.

    No provider is chosen if no money has moved, or if only unreachable providers have channels.
    """

    records: tuple[Signed[ProviderRecord], ...]
    chosen: int | None = None
    unreachable: tuple[int, ...] = ()

    @property
    def in_order(self) -> tuple[Signed[ProviderRecord], ...]:
        """The chosen provider, and then the others, the best first."""
        chosen = () if self.chosen is None else (self.records[self.chosen],)
        others = (each for place, each in enumerate(self.records) if place != self.chosen)
        return (*chosen, *others)

    @property
    def passed_over(self) -> tuple[Signed[ProviderRecord], ...]:
        """The providers that have a channel, and to which no way leads."""
        return tuple(self.records[place] for place in self.unreachable)


def write(
    files: MarketFiles,
    records: Sequence[Signed[ProviderRecord]],
    chosen: Signed[ProviderRecord] | None = None,
    passed_over: Sequence[Signed[ProviderRecord]] = (),
) -> None:
    """Write down the best records, and in any case ``chosen`` and those ``passed_over``."""
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
    """What was written; no provider if nothing was. SystemChangeError if it cannot be read."""
    try:
        said = json.loads(files.choices.read_bytes())
        records = tuple(
            parse_untrusted(ProviderRecord, bytes.fromhex(each)) for each in said["records"]
        )
        return Choices(records, said["chosen"], tuple(said["unreachable"]))
    except FileNotFoundError:
        return Choices(())
    except (OSError, ValueError, KeyError, TypeError, Refused):
        raise unreadable(files.choices) from None
