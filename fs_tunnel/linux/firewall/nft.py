# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""nftables: a table that loads as one transaction, and the words that rulesets share.

We load rules with ``nft``, not over netlink: it is atomic, and it knows intervals and maps.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from string import Template

from fs_tunnel.linux.command import run
from fs_tunnel.linux.journal.change import Change
from fs_wire.errors import UsageError

_INTERFACE = re.compile(r"[a-zA-Z0-9_=+.@:-]{1,15}")


@dataclass(frozen=True, slots=True)
class NftTable(Change):
    """One table of family inet, replaced as a whole."""

    table: str
    ruleset: str

    @property
    def place(self) -> tuple[object, ...]:
        return ("NftTable", self.table)

    def do(self) -> None:
        run(["nft", "-f", "-"], stdin=self.ruleset)

    def undo(self) -> None:
        # We add it first, so that the deletion succeeds even if it is gone.
        run(["nft", "-f", "-"], stdin=without(self.table))


@dataclass(frozen=True, slots=True)
class NftChain(Change):
    """Rules for a chain that another change made empty, in its own table."""

    table: str
    chain: str
    rules: tuple[str, ...]

    @property
    def place(self) -> tuple[object, ...]:
        return ("NftChain", self.table, self.chain)

    def do(self) -> None:
        here = f"inet {self.table} {self.chain}"
        rules = "".join(f"add rule {here} {rule}\n" for rule in self.rules)
        run(["nft", "-f", "-"], stdin=f"flush chain {here}\n{rules}")

    def undo(self) -> None:
        if has_table(self.table):
            run(["nft", "flush", "chain", "inet", self.table, self.chain])


def has_table(table: str) -> bool:
    """Whether there is a table of family inet and that name."""
    return f"table inet {table}" in run(["nft", "list", "tables"]).splitlines()


def check_interface(ifname: str) -> None:
    """Raise UsageError for a name that nft would misread."""
    if not _INTERFACE.fullmatch(ifname):
        raise UsageError(
            f"{ifname!r} is no name for a firewall rule; rename the interface with ip link"
        )


def table_of(tunnel: str) -> str:
    """The name of a tunnel's table."""
    # nft takes no '=', '+', '.' or '-' in an identifier.
    return "fs_" + "".join(c if c.isalnum() else f"_{ord(c):x}_" for c in tunnel)


def check_table(table: str) -> None:
    """Raise UsageError for a name that no tunnel's table has."""
    if not re.fullmatch(r"fs_[a-zA-Z0-9_]{1,60}", table):
        raise UsageError("no tunnel has such a table; see nft list tables")


def without(table: str) -> str:
    """Commands that delete a table; they succeed even if there is none."""
    return f"add table inet {table}\ndelete table inet {table}\n"


def fill(ruleset: str, **holes: object) -> str:
    """Fill the holes of a ruleset in nft's language; a hole is written ``$name``.

    A hole for whole rules has a line of its own, which vanishes if there are no rules.
    Raise KeyError for a hole without a value.
    """
    lines = []
    for line in ruleset.splitlines():
        text = line.lstrip()
        indentation = line.removesuffix(text)
        filled = Template(text).substitute(holes)
        lines += [f"{indentation}{each}\n" for each in filled.splitlines() if each]
    return "".join(lines)


def elements(name: str, values: Iterable[object]) -> dict[str, str]:
    """The holes for the elements of the sets ``name4`` and ``name6``.

    A value has its address first.  nft takes no empty list, so a set without values has no line.
    """
    texts = [str(each) for each in values]
    return {
        f"{name}4": _declared(each for each in texts if ":" not in each),
        f"{name}6": _declared(each for each in texts if ":" in each),
    }


def _declared(texts: Iterable[str]) -> str:
    listed = ", ".join(texts)
    return f"elements = {{ {listed} }};" if listed else ""


def counters(names: Iterable[str]) -> str:
    return "\n".join(f"  counter {name} {{ }}" for name in names)
