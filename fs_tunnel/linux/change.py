"""Changes to the host as data: each can be made, taken back, and written to a journal.

The life of a change: ``prepared`` reads what is there before, the journal writes it down, ``do``
makes it, and ``undo``, in this process or in one that starts after a crash, restores what was
there.  ``undo`` succeeds where there is nothing left to take back.
"""

from dataclasses import fields
from typing import Any, ClassVar, Self


class Change:
    """Base of the frozen dataclasses that are changes; their fields are JSON values."""

    # Whether the change outlives a reboot, and must be taken back after one.
    survives_reboot: ClassVar[bool] = False
    # Whether it is gone, or of no use, once the tunnel's interface is.
    ends_with_link: ClassVar[bool] = False
    # Every change is a dataclass.
    __dataclass_fields__: ClassVar[dict[str, Any]]

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
        values = (getattr(self, field.name) for field in fields(self) if field.name != "before")
        return (type(self).__name__, *values)
