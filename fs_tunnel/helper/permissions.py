"""The changes that others ask of a helper: journalled like a command's, and undone with them."""

import json
from typing import Any

from fs_tunnel.helper.protocol import MAX_CHANGES, MAY_BE_ASKED_FOR
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.journal import Journal
from fs_tunnel.linux.journal.kinds import to_json
from fs_tunnel.linux.journal.state import locked
from fs_wire.errors import UsageError

_PATIENCE = 5.0  # seconds for a command that is at work


class Permissions:
    """Those of one tunnel.

    The methods that change something raise UsageError for what cannot be, and SystemChangeError
    where the host refuses, or a command is at work.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def make(self, change: Change) -> None:
        """Have a change in force."""
        with locked(self._name, _PATIENCE):
            journal = Journal(self._name)
            if not journal.may_resume("up") or not journal.is_settled:
                raise UsageError(f"{self._name} is no client that is up; nothing is changed for it")
            asked_for = _asked_for(journal)
            if change not in asked_for and len(asked_for) >= MAX_CHANGES:
                raise UsageError(f"{MAX_CHANGES} changes are in force; undo one first")
            journal.ensure(change)

    def take_back(self, change: Change) -> None:
        """Have it in force no more; nothing happens where it is not."""
        with locked(self._name, _PATIENCE):
            journal = Journal(self._name)
            if change in _asked_for(journal):
                journal.take_back(change)

    def in_force(self) -> list[dict[str, Any]]:
        """As JSON has them, oldest first."""
        return [json.loads(to_json(change)) for change in _asked_for(Journal(self._name))]


def _asked_for(journal: Journal) -> list[Change]:
    return [change for change in journal.changes if type(change) in MAY_BE_ASKED_FOR]
