"""From a configuration to a running tunnel, and back.

``bring_up`` starts an engine, hands it its keys over UAPI, and makes the plan's changes, each
journalled first; ``take_down`` undoes them, latest first.  ``move`` gives a tunnel that is up
another provider.  The engine ends when its interface is deleted.  Whatever fails on the way up is
undone before the error reaches the user; whatever was left by a crash is undone before the next
attempt.  What a helper does when an engine ends is here, too (``after_the_end``): the tunnel's lock
decides between it and the commands.
"""

import errno
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum
from pathlib import Path

from fs_tunnel import known_endpoints
from fs_tunnel.config import TunnelConfig
from fs_tunnel.linux.firewall.nft import has_table, table_of
from fs_tunnel.linux.firewall.permitted_endpoint import PermittedEndpoint
from fs_tunnel.linux.firewall.permitted_negotiation import PermittedNegotiation
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.journal import Journal, journalled
from fs_tunnel.linux.journal.state import helper_alone, locked
from fs_tunnel.linux.routing.links import Link, Unreachable, exists
from fs_tunnel.linux.splits import splits
from fs_tunnel.linux.systemd import failed
from fs_wire import control, uapi
from fs_wire.errors import (
    ControlError,
    FlowShieldError,
    NotRunningError,
    PrivilegeError,
    SystemChangeError,
)
from fs_wire.types import Endpoint, PublicKey
from fs_wire.uapi import DeviceStatus, DeviceUpdate, UapiClient

log = logging.getLogger(__name__)

# -P: not from the directory that root happens to stand in.
_ENGINE = (sys.executable, "-P", "-m", "fs_tunnel.cli.fs_wg")
_ENGINE_DEADLINE = 15.0  # seconds
_HELPER_DEADLINE = 5.0  # seconds
_CAP_NET_ADMIN = 12  # capabilities(7)
_FIRST_PORT_OF_ALL = 1024  # below it, ports need a capability


def require_root(command: str, why: str = "reads what only root can see") -> None:
    """Raise PrivilegeError unless we are root."""
    if os.geteuid() != 0:
        raise PrivilegeError(f"{command} {why}; run it with sudo")


def require_net_admin(command: str) -> None:
    """Raise PrivilegeError unless we are root, and may change networks: some containers may not."""
    require_root(command, "changes interfaces and routes")
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    if not effective >> _CAP_NET_ADMIN & 1:
        raise PrivilegeError(
            f"{command} needs CAP_NET_ADMIN; run it as root, and a container with "
            "--cap-add NET_ADMIN"
        )


def bring_up(
    role: str,
    config: TunnelConfig,
    device: DeviceUpdate,
    plan: Sequence[Change],
    *,
    keeps: Callable[[PublicKey], bool] | None = None,
) -> bool:
    """Make the tunnel of ``config`` run as ``plan`` says; False where it ran already.

    ``device`` names all peers: others are removed, but those that ``keeps`` wants.  A running
    tunnel gets what is different, and keeps its sessions.  SystemChangeError where the host, or
    another program, is in the way; then a tunnel that was not up is not up afterwards either.
    """
    name = config.name
    with locked(name):
        journal = Journal(name)
        running = _running(name)
        if running is not None and not journal.is_open:
            raise SystemChangeError(
                f"{name} belongs to another program; end it, or rename {config.source}"
            )
        is_ours = journal.may_resume(role)
        if running is not None and is_ours and journal.is_settled:
            _configure(name, _difference(running, device, keeps))
            journal.begin(role, config.source, _endpoints(config, device))
            _follow(journal, plan, device)
            splits.renew(name)
            return False
        # What a client had closed must stay closed; and without a provider's firewall, the
        # connections of its clients would be answered by the host, which ends them.
        if is_ours:
            log.warning("%s died before; what outlived its engine stays meanwhile", name)
            _keep_only_what_outlived_the_link(journal)
            _wait_for_end(name)
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

    What closes the way is replaced in one piece and never taken away; what a crash left half-moved
    is moved as a whole.  NotRunningError where it is not up, or is being taken down.
    """
    name = config.name
    with locked(name):
        journal = Journal(name)
        running = _running_client(journal)
        table = table_of(name)
        for each in _endpoints(config, device).values():
            # Its first handshake is not to wait for a table that is replaced a moment later.
            endpoint = Endpoint.parse(each)
            permitted = PermittedEndpoint(table, endpoint.ip, endpoint.port)
            if has_table(table) and not permitted.is_there():
                journal.ensure(permitted)
        _configure(name, _difference(running, device, None))
        journal.begin("up", config.source, _endpoints(config, device))
        _follow(journal, plan, device)
        splits.renew(name)


@contextmanager
def permitting_negotiation(name: str, endpoint: Endpoint, seconds: int) -> Iterator[int]:
    """The mark with which packets to this TCP endpoint pass meanwhile, at most for ``seconds``.

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
    """Undo all that ``bring_up`` did; False where there was nothing to undo.

    NotRunningError where the interface belongs to another program.
    """
    with locked(name):
        journal = Journal(name)
        was_open = journal.is_open
        if was_open:
            splits.take_back(name)
            journal.take_all_back()
            _wait_for_end(name)
        elif _running(name) is not None:
            raise NotRunningError(
                f"{name} was not started by fs-tunnel; end it with ip link delete {name}"
            )
    _wait_for_helper(name)
    return was_open


def clean_up() -> Iterator[str]:
    """Undo what tunnels without an engine have left, and yield their names.

    Goes on past a failure; then SystemChangeError tells of the last one.
    """
    failure: FlowShieldError | None = None
    for name in journalled():
        with locked(name):
            journal = Journal(name)
            if not journal.is_open or _running(name) is not None:
                splits.take_back_unused(name)
                continue
            try:
                splits.take_back(name)
                journal.take_all_back()
                _wait_for_end(name)
            except FlowShieldError as error:
                failure = error
                continue
        _wait_for_helper(name)
        yield name
    for name in splits.orphans():
        with locked(name):
            splits.take_back(name)
        yield name
    if failure is not None:
        raise failure


class End(Enum):
    """What became of a tunnel whose engine has ended."""

    TAKEN_DOWN = "by another command"
    STARTED = "another command has started it again"
    CLOSED = "it died, and what belongs into the tunnel goes nowhere"
    UNDONE = "it died, and nothing is left of it"


@contextmanager
def engine_process(name: str) -> Iterator[int]:
    """A file descriptor that is readable once the engine of ``name`` has ended."""
    descriptor = _open_process(name)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def after_the_end(name: str) -> End:
    """See to it that an ended engine leaves either nothing behind, or a way that is closed."""
    with locked(name):  # a command that takes it down, or starts it again, may be half-way
        journal = Journal(name)
        if not journal.is_open:
            return End.TAKEN_DOWN
        if uapi.is_answered(name):
            return End.STARTED
        if any(isinstance(change, Unreachable) for change in journal.changes):
            return End.CLOSED
        journal.take_all_back()
        _wait_for_end(name)
        return End.UNDONE


def is_missed(name: str) -> bool:
    """Whether a tunnel that is to be up has no engine."""
    return Journal(name).is_open and not uapi.is_answered(name)


def _running_client(journal: Journal) -> DeviceStatus:
    running, header = _running(journal.name), journal.header
    if running is None or header is None or header.is_ending or not journal.may_resume("up"):
        raise NotRunningError(f"{journal.name} is no client that is up; start it with fs-tunnel up")
    return running


def _open_process(name: str) -> int:
    deadline = time.monotonic() + _ENGINE_DEADLINE
    while True:
        try:
            return os.pidfd_open(int(control.status(name)["pid"]))
        except (ControlError, NotRunningError, ProcessLookupError):
            # It may be about to end, or too busy to answer.
            if not uapi.is_answered(name):
                break
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)
    # It has ended, and so has the other side of this.
    descriptor, other = os.pipe()
    os.close(other)
    return descriptor


def _start_engine(name: str, port: int) -> None:
    """Return when the interface and the UAPI socket exist, and the engine is confined."""
    low_ports = "1" if 0 < port < _FIRST_PORT_OF_ALL else "0"
    try:
        engine = subprocess.run(
            [*_ENGINE, name],
            env={**os.environ, "FS_WG_LOW_PORTS": low_ports},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=_ENGINE_DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SystemChangeError(
            f"the engine of {name} did not start within {_ENGINE_DEADLINE:g} s; try again"
        ) from None
    if engine.returncode:
        said = engine.stderr.strip().splitlines() or ["the engine did not start; see the log"]
        is_privilege = engine.returncode == PrivilegeError.exit_code
        raise (PrivilegeError if is_privilege else SystemChangeError)(
            said[-1].removeprefix("fs-wg: error: ")
        )


def _configure(name: str, update: DeviceUpdate) -> None:
    try:
        UapiClient(name).set(update)
    except uapi.UapiError as error:
        if error.errno == errno.EADDRINUSE:
            raise SystemChangeError(
                f"UDP port {update.listen_port} is in use; stop who holds it (ss -lunp), "
                "or set another ListenPort"
            ) from None
        raise


def _difference(
    running: DeviceStatus, wanted: DeviceUpdate, keeps: Callable[[PublicKey], bool] | None
) -> DeviceUpdate:
    """What leads from ``running`` to ``wanted`` without ending a session."""
    names = {peer.public_key for peer in wanted.peers}
    removed = tuple(
        uapi.PeerUpdate(peer.public_key, remove=True)
        for peer in running.peers
        if peer.public_key not in names and not (keeps and keeps(peer.public_key))
    )
    return replace(wanted, replace_peers=False, peers=removed + wanted.peers)


def _endpoints(config: TunnelConfig, device: DeviceUpdate) -> dict[str, str]:
    """What the names in the file stand for: while the way is closed, nobody can be asked."""
    found = {peer.public_key: peer.endpoint for peer in device.peers}
    return {
        str(peer.endpoint): str(found[peer.public_key])
        for peer in config.peers
        if peer.endpoint and found.get(peer.public_key)
    }


def _follow(journal: Journal, plan: Sequence[Change], device: DeviceUpdate) -> None:
    """Turn the changes in force into those of ``plan``; a link that is made gets its engine."""
    journal.drop_others(plan)
    known = {}
    for change in plan:
        is_made = journal.ensure(change)
        if is_made and isinstance(change, Link):
            known = known_endpoints.load(change.ifname)
            _start_engine(change.ifname, device.listen_port or 0)
            _configure(change.ifname, _pointed(device, known))
    journal.settle()
    if known:
        _greet(journal.name)


def _pointed(device: DeviceUpdate, known: Mapping[PublicKey, Endpoint]) -> DeviceUpdate:
    """With endpoints for the peers that the file has none for."""
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
        _wait_for_end(name)


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


def _wait_for_end(name: str) -> None:
    """Return when no engine answers, and remove the sockets of one that was killed."""
    deadline = time.monotonic() + _ENGINE_DEADLINE
    while uapi.is_answered(name):
        if time.monotonic() > deadline:
            raise SystemChangeError(f"the engine of {name} does not end; kill it by its process id")
        time.sleep(0.05)
    for socket in (uapi.socket_path(name), control.socket_path(name)):
        socket.unlink(missing_ok=True)


def _wait_for_helper(name: str) -> None:
    """Return when there is no helper, and remove what it, or one that was killed, has left."""
    try:
        with helper_alone(name, _HELPER_DEADLINE):
            control.helper_path(name).unlink(missing_ok=True)
            if not failed():  # or else the tunnel is started again at once
                known_endpoints.forget(name)
    except SystemChangeError as error:
        log.warning("%s and does not end; kill it by its process id", error)


def _running(name: str) -> DeviceStatus | None:
    try:
        return UapiClient(name).get()
    except NotRunningError:
        return None
