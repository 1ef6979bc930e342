# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Splits of a running tunnel: the journals of ``run``, and the programs inside and outside.

The journals NAME@inside and NAME@outside are apart from the tunnel's own, so that the tunnel can
start again under them.  Their changes are undone when the last program ends, or with the tunnel.
Callers hold the tunnel's lock.
"""

import contextlib
import logging
from collections.abc import Collection, Iterator, Sequence

from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.journal import Journal, journalled
from fs_tunnel.linux.journal.state import state_directory
from fs_tunnel.linux.routing import inner_namespace
from fs_tunnel.linux.splits import cgroup
from fs_wire.errors import FlowShieldError, SystemChangeError

log = logging.getLogger(__name__)

INSIDE, OUTSIDE = "inside", "outside"
KINDS = (INSIDE, OUTSIDE)


def journal_of(name: str, kind: str) -> Journal:
    return Journal(f"{name}@{kind}")


def ensure(name: str, kind: str, source: str, plan: Sequence[Change]) -> None:
    """Have the changes of a plan in force; if one fails, undo those that no program uses."""
    journal = journal_of(name, kind)
    if not journal.may_resume(kind):
        journal.take_all_back()
    try:
        journal.begin(kind, source, {})
        journal.drop_others(plan)
        for change in plan:
            journal.ensure(change)
        journal.settle()
    except BaseException:
        take_back_unused(name)
        raise


def renew(name: str) -> None:
    """Make sure of the changes in force, after the tunnel under them started again.

    Cgroup and namespace do not depend on the tunnel, and a service may not touch them.
    """
    for kind in KINDS:
        journal = journal_of(name, kind)
        for change in journal.in_force():
            if isinstance(change, cgroup.MarkedGroup | inner_namespace.InnerNamespace):
                continue
            try:
                journal.ensure(change)
            except FlowShieldError as error:
                log.warning("programs %s of %s: %s", kind, name, error)


def take_back(name: str, kinds: Collection[str] = KINDS) -> None:
    """Undo all changes, even in use; log those that fail, and leave them to ``cleanup``.

    A service that takes its tunnel down may not remove cgroups or namespaces.
    """
    for kind in kinds:
        try:
            journal_of(name, kind).take_all_back()
        except SystemChangeError as error:
            log.warning("undoing the changes for programs %s of %s: %s", kind, name, error)


def take_back_unused(name: str) -> None:
    """Undo the changes that no program uses any more."""
    take_back(name, [kind for kind in KINDS if not any(users(name, kind))])


def users(name: str, kind: str) -> Iterator[int]:
    """The processes inside or outside of a tunnel."""
    if kind == INSIDE:
        yield from inner_namespace.processes(name)
        return
    with contextlib.suppress(SystemChangeError, FileNotFoundError):
        yield from cgroup.processes(cgroup.group(name))


def orphans() -> list[str]:
    """The tunnels that are gone, but have such a journal."""
    found = {path.name.partition("@")[0] for path in state_directory().glob("*@*.journal")}
    return sorted(found - set(journalled()))
