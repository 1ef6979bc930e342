# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Records that the program's own processes hand to each other, as one line of JSON each.

A record is a frozen dataclass, and its JSON object has exactly its fields. A reader refuses a
missing field, an unknown field and a value of another type. The field ``version`` is a ``Literal``,
so a reader also refuses a record that another version of the program wrote.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from fs_wire.errors import FlowShieldError, SystemChangeError

_Record = TypeVar("_Record")
_PLAIN = (bool, int, str, NoneType)


class UnknownRecord(SystemChangeError):
    """A process was handed something that this version of the program never writes."""


@dataclass(frozen=True, slots=True)
class Text:
    """How a type is written as a string, and how it is read again."""

    write: Callable[[Any], str]
    read: Callable[[str], Any]


class Codec:
    """Writes and reads records; ``texts`` names the types that are strings in JSON."""

    def __init__(self, texts: Mapping[type, Text]) -> None:
        self._texts = texts

    def to_line(self, record: object) -> bytes:
        """The record as one line."""
        return json.dumps(self.to_json(record)).encode() + b"\n"

    def from_line(self, kind: type[_Record], line: bytes) -> _Record:
        """The record on a line; UnknownRecord if it is no such record."""
        return self.from_json(kind, parse_line(line))

    def to_json(self, value: Any) -> Any:
        """The value as JSON has it."""
        text = self._texts.get(type(value))
        if text is not None:
            return text.write(value)
        if is_dataclass(value):
            return {each.name: self.to_json(getattr(value, each.name)) for each in fields(value)}
        if isinstance(value, tuple):
            return [self.to_json(each) for each in value]
        if isinstance(value, dict):
            return {name: self.to_json(each) for name, each in value.items()}
        assert isinstance(value, _PLAIN), type(value)
        return value

    def from_json(self, kind: type[_Record], said: object) -> _Record:
        """The inverse of ``to_json``; UnknownRecord for anything that it never returns."""
        try:
            record = self._read(kind, said)
        except (FlowShieldError, TypeError, ValueError) as error:
            raise unknown(f"{kind.__name__}: {error}") from None
        assert isinstance(record, kind)
        return record

    def _read(self, kind: Any, said: object) -> Any:
        origin, parts = get_origin(kind), get_args(kind)
        if origin is Literal:
            if type(said) is not type(parts[0]) or said not in parts:
                raise ValueError(f"{said!r} instead of {parts[0]!r}")
            return said
        if origin in (Union, UnionType):
            return self._read_one_of(parts, said)
        if origin is tuple:
            return tuple(self._read(parts[0], each) for each in _checked(list, said))
        if origin is dict:
            found = _checked(dict, said)
            return {_checked(str, name): self._read(parts[1], each) for name, each in found.items()}
        if kind in self._texts:
            return self._texts[kind].read(_checked(str, said))
        if is_dataclass(kind):
            return self._read_fields(kind, _checked(dict, said))
        return _checked(kind, said)

    def _read_one_of(self, kinds: tuple[Any, ...], said: object) -> Any:
        error: Exception = TypeError("no alternative")
        for kind in kinds:
            try:
                return self._read(kind, said)
            except (FlowShieldError, TypeError, ValueError) as failed:
                error = failed
        raise error

    def _read_fields(self, kind: Any, said: dict[str, Any]) -> Any:
        hints = get_type_hints(kind)
        names = [each.name for each in fields(kind)]
        if "version" in names:  # before the fields, which differ from version to version
            self._read(hints["version"], said.get("version"))
        if odd := set(names) ^ set(said):
            raise ValueError(f"unknown or missing {', '.join(sorted(odd))}")
        return kind(**{name: self._read(hints[name], said[name]) for name in names})


def parse_line(line: bytes) -> object:
    """The JSON on a line; UnknownRecord if it has none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise unknown("no JSON") from None


def unknown(why: str) -> UnknownRecord:
    """The error for a record that another version of the program may have written."""
    return UnknownRecord(
        f"this version of the program does not know the record ({why}); "
        "run fs-tunnel down, then up or serve again"
    )


def _checked(kind: Any, said: object) -> Any:
    if type(said) is not kind:
        raise TypeError(f"{type(said).__name__} instead of {kind.__name__}")
    return said
