# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""From a configuration to a running tunnel, and back.

``bring_up`` starts an engine, gives it its keys over UAPI, and makes the changes of the plan.  The
journal holds each change before it is made.  ``take_down`` undoes the changes, latest first.
``move`` gives a running tunnel another provider.  The engine ends when its interface is deleted.

If a step fails on the way up, all earlier steps are undone before the error reaches the user.  The
next attempt first undoes what a crash left behind.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from fs_tunnel import engine_process, known_endpoints
from fs_tunnel.config import TunnelConfig
from fs_tunnel.leftovers import wait_for_helper
from fs_tunnel.linux.firewall.nft import has_table, table_of
from fs_tunnel.linux.firewall.permitted_endpoint import PermittedEndpoint
from fs_tunnel.linux.firewall.permitted_negotiation import PermittedNegotiation
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.journal import Journal
from fs_tunnel.linux.journal.state import locked
from fs_tunnel.linux.routing.links import Link, exists
from fs_tunnel.linux.splits import splits
from fs_wire import control
from fs_wire.errors import FlowShieldError, NotRunningError, SystemChangeError
from fs_wire.types import Endpoint, PublicKey
from fs_wire.uapi import DeviceStatus, DeviceUpdate

log = logging.getLogger(__name__)


def bring_up(
    role: str,
    config: TunnelConfig,
    device: DeviceUpdate,
    plan: Sequence[Change],
    *,
    keeps: Callable[[PublicKey], bool] | None = None,
) -> bool:
    """Make the tunnel of ``config`` run as ``plan`` says; False if it ran already.

    ``device`` names all peers.  Other peers are removed, unless ``keeps`` wants them.  A running
    tunnel gets only the differences, and keeps its sessions.  SystemChangeError if the host or
    another program prevents it; then a tunnel that was down stays down.
    """
    name = config.name
    with locked(name):
        journal = Journal(name)
        running = engine_process.running(name)
        if running is not None and not journal.is_open:
            raise SystemChangeError(
                f"{name} belongs to another program; end it, or rename {config.source}"
            )
        is_ours = journal.may_resume(role)
        if running is not None and is_ours and journal.is_settled:
            engine_process.configure(name, engine_process.difference(running, device, keeps))
            journal.begin(role, config.source, _endpoints(config, device))
            _follow(journal, plan, device)
            splits.renew(name)
            return False
        # A client's traffic must stay blocked.  Without a provider's firewall, the host would
        # answer its clients' connections, and so end them.
        if is_ours:
            log.warning("%s died before; the changes that outlived its engine stay meanwhile", name)
            _keep_only_what_outlived_the_link(journal)
            engine_process.wait_for_end(name)
        else:
            _undo_leftovers(journal, name)
        try:
            _refuse_taken_name(name)
            journal.begin(role, config.source, _endpoints(config, device))
            _follow(journal, plan, device)
        except BaseException:
            _undo_quietly(journal, keep_closed=is_ours and role == "up")
            raise
        splits.renew(name)
        return True


def move(config: TunnelConfig, device: DeviceUpdate, plan: Sequence[Change]) -> None:
    """Make the running client's tunnel that of ``config``, whose peer is another provider.

    The kill switch is replaced in one piece, and is never off.  If a crash left a move unfinished,
    the next one does all of it.  NotRunningError if the tunnel is not up, or is being taken down.
    """
    name = config.name
    with locked(name):
        journal = Journal(name)
        running = _running_client(journal)
        table = table_of(name)
        for each in _endpoints(config, device).values():
            # The first handshake must not wait for a table that changes a moment later.
            endpoint = Endpoint.parse(each)
            permitted = PermittedEndpoint(table, endpoint.ip, endpoint.port)
            if has_table(table) and not permitted.is_there():
                journal.ensure(permitted)
        engine_process.configure(name, engine_process.difference(running, device, None))
        journal.begin("up", config.source, _endpoints(config, device))
        _follow(journal, plan, device)
        splits.renew(name)


@contextmanager
def permitting_negotiation(name: str, endpoint: Endpoint, seconds: int) -> Iterator[int]:
    """The mark with which packets to this TCP endpoint may pass, for at most ``seconds``.

    NotRunningError as for ``move``.
    """
    table = table_of(name)
    change = PermittedNegotiation(table, endpoint.ip, endpoint.port, seconds)
    with locked(name):
        journal = Journal(name)
        running = _running_client(journal)
        is_closed = has_table(table)
        if is_closed:
            journal.ensure(change)
    try:
        yield running.fwmark
    finally:
        with locked(name):
            journal = Journal(name)
            if is_closed and change in journal.changes:
                journal.take_back(change)


def take_down(name: str) -> bool:
    """Undo all that ``bring_up`` did; False if there was nothing to undo.

    NotRunningError if the interface belongs to another program.
    """
    with locked(name):
        journal = Journal(name)
        was_open = journal.is_open
        if was_open:
            splits.take_back(name)
            journal.take_all_back()
            engine_process.wait_for_end(name)
        elif engine_process.running(name) is not None:
            raise NotRunningError(
                f"{name} was not started by fs-tunnel; end it with ip link delete {name}"
            )
    wait_for_helper(name)
    return was_open


def _running_client(journal: Journal) -> DeviceStatus:
    running, header = engine_process.running(journal.name), journal.header
    if running is None or header is None or header.is_ending or not journal.may_resume("up"):
        raise NotRunningError(f"{journal.name} is no client that is up; start it with fs-tunnel up")
    return running


def _endpoints(config: TunnelConfig, device: DeviceUpdate) -> dict[str, str]:
    """The addresses of the file's names: nobody can resolve them while traffic is blocked."""
    found = {peer.public_key: peer.endpoint for peer in device.peers}
    return {
        str(peer.endpoint): str(found[peer.public_key])
        for peer in config.peers
        if peer.endpoint and found.get(peer.public_key)
    }


def _follow(journal: Journal, plan: Sequence[Change], device: DeviceUpdate) -> None:
    """Turn the changes in force into those of ``plan``; start the engine of a new link."""
    journal.drop_others(plan)
    known = {}
    for change in plan:
        is_made = journal.ensure(change)
        if is_made and isinstance(change, Link):
            known = known_endpoints.load(change.ifname)
            engine_process.start_engine(change.ifname, device.listen_port or 0)
            engine_process.configure(change.ifname, _pointed(device, known))
    journal.settle()
    if known:
        _greet(journal.name)


def _pointed(device: DeviceUpdate, known: Mapping[PublicKey, Endpoint]) -> DeviceUpdate:
    """Add known endpoints for the peers without one in the file."""
    return replace(
        device,
        peers=tuple(
            replace(peer, endpoint=peer.endpoint or known.get(peer.public_key))
            for peer in device.peers
        ),
    )


def _greet(name: str) -> None:
    try:
        control.greet(name)
    except FlowShieldError as error:
        log.warning("clients come back later: %s", error)


def _undo_leftovers(journal: Journal, name: str) -> None:
    if journal.is_open:
        log.warning("undoing what an earlier run of %s left behind", name)
        journal.take_all_back()
        engine_process.wait_for_end(name)


def _keep_only_what_outlived_the_link(journal: Journal) -> None:
    journal.drop_others([change for change in journal.changes if not change.ends_with_link])


def _refuse_taken_name(name: str) -> None:
    if exists(name):
        raise SystemChangeError(
            f"there is an interface {name} already; choose another name, or ip link delete {name}"
        )


def _undo_quietly(journal: Journal, *, keep_closed: bool) -> None:
    try:
        if keep_closed:
            _keep_only_what_outlived_the_link(journal)
        else:
            journal.take_all_back()
    except FlowShieldError as error:
        log.error("%s", error)
