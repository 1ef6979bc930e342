"""Changes to the host as data: each can be made, taken back, and written to a journal.

The life of a change: ``prepared`` reads what is there before, the journal writes it down, ``do``
makes it, and ``undo``, in this process or in one that starts after a crash, restores what was
there.  ``undo`` succeeds where there is nothing left to take back.
"""

import json
from dataclasses import asdict, fields
from typing import Any, ClassVar, Self

from fs_tunnel.errors import SystemChangeError

_KINDS: dict[str, type["Change"]] = {}


class Change:
    """Base of the frozen dataclasses that are changes; their fields are JSON values."""

    # Whether the change outlives a reboot, and must be taken back after one.
    survives_reboot: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        # A dataclass with slots is made twice, under the same name: the later one counts.
        _KINDS[cls.__name__] = cls

    def prepared(self) -> Self:
        """This change, with what it needs to remember of the state before."""
        return self

    def do(self) -> None:
        """Make the change; SystemChangeError where the host refuses."""
        raise NotImplementedError

    def undo(self) -> None:
        """Take the change back; SystemChangeError where the host refuses."""
        raise NotImplementedError

    @property
    def identity(self) -> tuple[object, ...]:
        """What tells two changes apart, whatever the state was before them."""
        return (
            type(self).__name__,
            *(getattr(self, field.name) for field in fields(self) if field.name != "before"),  # type: ignore[arg-type]
        )


def to_json(change: Change) -> str:
    """One line."""
    return json.dumps({"change": type(change).__name__, **asdict(change)})  # type: ignore[call-overload]


def from_json(line: str) -> Change:
    """The inverse; SystemChangeError for a line that no change was ever written as."""
    try:
        values: dict[str, Any] = json.loads(line)
        return _KINDS[values.pop("change")](**values)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SystemChangeError("a line of the journal is damaged; it is passed over") from None
