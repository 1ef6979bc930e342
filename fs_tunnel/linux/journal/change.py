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
    # Whether other tunnels' changes wait while this one is made. A user's command must not hold
    # them up: it may be one of ours.
    keeps_others_waiting: ClassVar[bool] = True
    # Every change is a dataclass.
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def prepared(self) -> Self:
        """This change, with what it needs to remember of the state before."""
        return self

    def do(self) -> None:
        """Make the change; SystemChangeError where the host refuses."""
        raise NotImplementedError

    def redo(self) -> None:
        """Make sure of a change that was made before; SystemChangeError as for ``do``."""
        self.do()

    def undo(self) -> None:
        """Take the change back; SystemChangeError where the host refuses."""
        raise NotImplementedError

    @property
    def identity(self) -> tuple[object, ...]:
        """What tells two changes apart, whatever the state was before them."""
        values = (getattr(self, field.name) for field in fields(self) if field.name != "before")
        return (type(self).__name__, *values)

    @property
    def place(self) -> tuple[object, ...]:
        """What is changed. A change takes the place of another one without undoing it first."""
        return self.identity

    def transition(self) -> tuple[str | None, str] | None:
        """The values before and after, of a place that all tunnels share; None for others.

        Such a change has a field ``before``.
        """
        return None
