# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Changes to the host as data: a command can make each, undo it, and write it to a journal.

A change has four steps.  ``prepared`` reads the state before.  The journal writes the change down.
``do`` makes it.  ``undo`` restores the state before, perhaps in another process after a crash.
``undo`` also succeeds if there is nothing left to undo.
"""

from dataclasses import fields
from typing import Any, ClassVar, Self


class Change:
    """Base of the frozen dataclasses that are changes; their fields are JSON values."""

    # Whether the change outlives a reboot, so that it must be undone after one.
    survives_reboot: ClassVar[bool] = False
    # Whether the change ends, or becomes useless, with the tunnel's interface.
    ends_with_link: ClassVar[bool] = False
    # Whether other tunnels' changes wait for this one. A user's command must not hold
    # them up: it may be one of ours.
    keeps_others_waiting: ClassVar[bool] = True
    # Every change is a dataclass.
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def prepared(self) -> Self:
        """This change, with the part of the state before that ``undo`` needs."""
        return self

    def do(self) -> None:
        """Make the change; SystemChangeError if the host refuses."""
        raise NotImplementedError

    def redo(self) -> None:
        """Make sure of a change that was made before; SystemChangeError as for ``do``."""
        self.do()

    def undo(self) -> None:
        """Undo the change; SystemChangeError if the host refuses."""
        raise NotImplementedError

    @property
    def identity(self) -> tuple[object, ...]:
        """A key that tells two changes apart; the state before them does not count."""
        values = (getattr(self, field.name) for field in fields(self) if field.name != "before")
        return (type(self).__name__, *values)

    @property
    def place(self) -> tuple[object, ...]:
        """The thing that changes. A change replaces another with this key, without an undo."""
        return self.identity

    def transition(self) -> tuple[str | None, str] | None:
        """The values before and after, if all tunnels share the thing; otherwise None.

        Such a change has a field ``before``.
        """
        return None
