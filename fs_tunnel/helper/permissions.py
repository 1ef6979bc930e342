# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The changes that an agent asks of a helper, journalled and undone like those of a command."""

import json
from typing import Any

from fs_tunnel.helper.protocol import MAX_CHANGES, MAY_BE_ASKED_FOR
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.journal import Journal
from fs_tunnel.linux.journal.kinds import to_json
from fs_tunnel.linux.journal.state import locked
from fs_wire.errors import UsageError

_PATIENCE = 5.0  # seconds to wait for a command that works on the tunnel


class Permissions:
    """The changes of one tunnel.

    The methods that change something raise UsageError if the tunnel or the limits forbid it. They
    raise SystemChangeError if the host refuses, or if a command works on the tunnel for too long.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def make(self, change: Change) -> None:
        """Make a change, unless it is in force already."""
        with locked(self._name, _PATIENCE):
            journal = Journal(self._name)
            if not journal.may_resume("up") or not journal.is_settled:
                raise UsageError(
                    f"{self._name} is not the tunnel of a client that is up; bring it up"
                )
            asked_for = _asked_for(journal)
            if change not in asked_for and len(asked_for) >= MAX_CHANGES:
                raise UsageError(f"{MAX_CHANGES} changes are in force; undo one first")
            journal.ensure(change)

    def take_back(self, change: Change) -> None:
        """Take a change back, if it is in force."""
        with locked(self._name, _PATIENCE):
            journal = Journal(self._name)
            if change in _asked_for(journal):
                journal.take_back(change)

    def in_force(self) -> list[dict[str, Any]]:
        """The changes in force, as JSON, the oldest first."""
        return [json.loads(to_json(change)) for change in _asked_for(Journal(self._name))]


def _asked_for(journal: Journal) -> list[Change]:
    return [change for change in journal.changes if type(change) in MAY_BE_ASKED_FOR]
