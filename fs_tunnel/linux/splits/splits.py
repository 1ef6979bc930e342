"""Programs inside and outside of a tunnel that is up: the journals of that, and who uses it.

The journals are beside the tunnel's, NAME@inside and NAME@outside, so that the tunnel can be
brought up anew under them.  What they hold is taken back when its last program has ended, and with
the tunnel.  Callers hold the tunnel's lock.
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
    """Have the changes of a plan in force; where one fails, none is left that nobody uses."""
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
    """Make sure of what is in force, after the tunnel under it was brought up anew.

    Cgroup and namespace do not depend on it; a service may not touch them either.
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
    """Undo it all, whoever uses it; what cannot be undone is told, and left to ``cleanup``.

    A service that takes its tunnel down may not remove cgroups or namespaces.
    """
    for kind in kinds:
        try:
            journal_of(name, kind).take_all_back()
        except SystemChangeError as error:
            log.warning("what was there for programs %s of %s: %s", kind, name, error)


def take_back_unused(name: str) -> None:
    """Undo what no program uses any more."""
    take_back(name, [kind for kind in KINDS if not any(users(name, kind))])


def users(name: str, kind: str) -> Iterator[int]:
    """The processes inside or outside of a tunnel."""
    if kind == INSIDE:
        yield from inner_namespace.processes(name)
        return
    with contextlib.suppress(SystemChangeError, FileNotFoundError):
        yield from cgroup.processes(cgroup.group(name))


def orphans() -> list[str]:
    """The tunnels that are gone, and left such a journal."""
    found = {path.name.partition("@")[0] for path in state_directory().glob("*@*.journal")}
    return sorted(found - set(journalled()))
