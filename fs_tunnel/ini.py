# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Read the INI of tunnel files strictly, as sections and entries that know their lines.

Keys and sections are case-insensitive; ``#`` begins a comment.  ``config`` knows the meaning of
values, and passes a parser for each.  A parser's ValueError becomes a ConfigError with file, line
and key.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TypeVar

from fs_wire.errors import ConfigError, UsageError

Keys = Mapping[str, Mapping[str, str]]

_MAX_SHOWN_KEY = 12  # characters

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a section."""

    key: str  # as it was written
    value: str
    line: int


@dataclass(slots=True)
class Section:
    """One section; entries by lower-case key."""

    kind: str
    line: int
    source: str
    entries: dict[str, list[Entry]] = field(default_factory=dict)

    def error(self, key: str, message: str) -> ConfigError:
        entry = self.entries[key][-1]
        return ConfigError(message, source=self.source, line=entry.line, key=entry.key)

    def listed(self, key: str, parse: Callable[[str], T]) -> list[T]:
        """All items of a key with comma-separated values; an empty value has no items."""
        return [
            self._parsed(entry, parse, item.strip())
            for entry in self.entries.get(key, [])
            if entry.value
            for item in entry.value.split(",")
        ]

    def words(self, key: str, parse: Callable[[str], T]) -> list[T]:
        """All items of a list that is split as in wg-quick: at any commas and spaces."""
        return [
            self._parsed(entry, parse, word)
            for entry in self.entries.get(key, [])
            for word in entry.value.replace(",", " ").split()
        ]

    def last(self, key: str, parse: Callable[[str], T]) -> T | None:
        """The value of a key that a section may have once."""
        found = self.entries.get(key, [])
        if len(found) > 1:
            raise self.error(key, f"is in line {found[0].line} already; keep one of them")
        return self._parsed(found[0], parse) if found else None

    def required(self, key: str, written: str, parse: Callable[[str], T]) -> T:
        value = self.last(key, parse)
        if value is None:
            raise ConfigError(
                f"{_title(self.kind)} has no {written}; add one",
                source=self.source,
                line=self.line,
                key=written,
            )
        return value

    def _parsed(self, entry: Entry, parse: Callable[[str], T], item: str | None = None) -> T:
        try:
            return parse(entry.value if item is None else item)
        except (UsageError, ValueError) as error:
            raise ConfigError(
                str(error), source=self.source, line=entry.line, key=entry.key
            ) from None


def read_sections(text: str, source: str, keys: Keys) -> list[Section]:
    """Split a file into sections and entries.

    ``keys`` names them: for each section, from keys in lower case to their usual spelling.
    ConfigError for the first line that is none of them.
    """
    if "\0" in text:
        raise ConfigError("holds a NUL byte; this is no tunnel's file", source=source)
    if text.startswith("\ufeff"):
        raise ConfigError(
            "begins with a byte order mark; save it as UTF-8 without one", source=source, line=1
        )
    sections: list[Section] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        if line.startswith("["):
            kind = line[1:-1].strip().lower() if line.endswith("]") else ""
            if kind not in keys:
                raise ConfigError(
                    f"no such section; write {' or '.join(map(_title, keys))}",
                    source=source,
                    line=number,
                )
            sections.append(Section(kind, number, source))
        else:
            _add_entry(sections, line, number, source, keys)
    return sections


def _add_entry(sections: list[Section], line: str, number: int, source: str, keys: Keys) -> None:
    key, equals, value = (part.strip() for part in line.partition("="))
    if not equals:
        raise ConfigError("not understood; write KEY = VALUE", source=source, line=number)
    if not sections:
        raise ConfigError(
            f"is in no section; put {_title(next(iter(keys)))} above it",
            source=source,
            line=number,
            key=_shown(key, keys),
        )
    section = sections[-1]
    known = keys[section.kind]
    if key.lower() not in known:
        near = get_close_matches(key.lower(), known, n=1)
        remedy = f"did you mean {known[near[0]]}?" if near else f"use {', '.join(known.values())}"
        raise ConfigError(
            f"no such key in {_title(section.kind)}; {remedy}",
            source=source,
            line=number,
            key=_shown(key, keys),
        )
    section.entries.setdefault(key.lower(), []).append(Entry(key, value, number))


def _shown(key: str, keys: Keys) -> str | None:
    """An unknown key for a message, without any part that may be secret."""
    names = [name for known in keys.values() for name in known]
    is_short = key.isalpha() and len(key) <= _MAX_SHOWN_KEY
    is_mistyped = key.isalnum() and get_close_matches(key.lower(), names, n=1)
    return key if is_short or is_mistyped else None


def _title(kind: str) -> str:
    return f"[{kind.capitalize()}]"
