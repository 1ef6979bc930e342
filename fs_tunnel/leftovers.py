# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Undo the changes that a tunnel leaves on the host if its engine dies.

A helper or a command does it; the tunnel's lock decides between them.
"""

import logging
from collections.abc import Iterator
from enum import Enum

from fs_tunnel import engine_process, known_endpoints
from fs_tunnel.linux.journal.journal import Journal, journalled
from fs_tunnel.linux.journal.state import helper_alone, locked
from fs_tunnel.linux.routing.links import Unreachable
from fs_tunnel.linux.splits import splits
from fs_tunnel.linux.systemd import failed
from fs_wire import control
from fs_wire.errors import FlowShieldError, SystemChangeError
from fs_wire.uapi_client import is_answered

log = logging.getLogger(__name__)

_HELPER_DEADLINE = 5.0  # seconds


def clean_up() -> Iterator[str]:
    """Undo the changes of tunnels without an engine, and yield their names.

    It goes on past a failure; at the end, SystemChangeError names the last one.
    """
    failure: FlowShieldError | None = None
    for name in journalled():
        with locked(name):
            journal = Journal(name)
            if not journal.is_open or engine_process.running(name) is not None:
                splits.take_back_unused(name)
                continue
            try:
                splits.take_back(name)
                journal.take_all_back()
                engine_process.wait_for_end(name)
            except FlowShieldError as error:
                failure = error
                continue
        wait_for_helper(name)
        yield name
    for name in splits.orphans():
        with locked(name):
            splits.take_back(name)
        yield name
    if failure is not None:
        raise failure


class End(Enum):
    """The fate of a tunnel whose engine has ended."""

    TAKEN_DOWN = "by another command"
    STARTED = "another command has started it again"
    CLOSED = "it died, and what belongs into the tunnel goes nowhere"
    UNDONE = "it died, and nothing is left of it"


def after_the_end(name: str) -> End:
    """Clean up after an engine: it leaves nothing, or changes that block its traffic."""
    with locked(name):  # a command may be taking it down, or starting it again
        journal = Journal(name)
        if not journal.is_open:
            return End.TAKEN_DOWN
        if is_answered(name):
            return End.STARTED
        if any(isinstance(change, Unreachable) for change in journal.changes):
            return End.CLOSED
        journal.take_all_back()
        engine_process.wait_for_end(name)
        return End.UNDONE


def is_missed(name: str) -> bool:
    """Whether a tunnel that should be up has no engine."""
    return Journal(name).is_open and not is_answered(name)


def wait_for_helper(name: str) -> None:
    """Return when there is no helper, and remove the files that it, or a killed one, left."""
    try:
        with helper_alone(name, _HELPER_DEADLINE):
            control.helper_path(name).unlink(missing_ok=True)
            if not failed():  # otherwise, it would start the tunnel again at once
                known_endpoints.forget(name)
    except SystemChangeError as error:
        log.warning("%s and does not end; kill it by its process id", error)
