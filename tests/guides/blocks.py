# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The commands of a guide: its fenced blocks, each for the terminal of one host.

A fence says whose terminal it is for, and how it is typed:

``sh HOST``           as it stands
``sh HOST settings``  the reader's own values, which a test gives
``sh HOST stays``     runs until Ctrl-C, in a terminal of its own
``sh HOST later``     after something that another guide does
"""

import re
from dataclasses import dataclass
from pathlib import Path

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "guides"
KINDS = ("", "settings", "stays", "later")
BOTH = "both"


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    host: str
    kind: str
    text: str

    @property
    def names(self) -> set[str]:
        """The variables that a block of settings sets."""
        return set(re.findall(r"^(\w+)=", self.text, re.MULTILINE))


def blocks_of(name: str) -> list[Block]:
    """Those of a guide, in their order; ValueError if a fence does not say what it is for."""
    found = []
    text = (GUIDES / f"{name}.md").read_text()
    for info, block in re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        language, _, rest = info.partition(" ")
        host, _, kind = rest.partition(" ")
        if language != "sh" or not host or kind not in KINDS:
            raise ValueError(f"{name}: ```{info} does not name a host and a kind")
        found.append(Block(host, kind, block))
    return found
