# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Start a tunnel's engine process, configure it and await its end, for commands and helpers."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from fs_wire import control, uapi
from fs_wire.errors import ControlError, NotRunningError, PrivilegeError, SystemChangeError
from fs_wire.types import PublicKey
from fs_wire.uapi import DeviceStatus, DeviceUpdate
from fs_wire.uapi_client import UapiClient, is_answered

# -P: import nothing from the directory that root happens to be in.
_ENGINE = (sys.executable, "-P", "-m", "fs_tunnel.cli.fs_wg")
DEADLINE = 15.0  # seconds
_FIRST_PORT_OF_ALL = 1024  # below it, ports need a capability


def running(name: str) -> DeviceStatus | None:
    try:
        return UapiClient(name).get()
    except NotRunningError:
        return None


def start_engine(name: str, port: int) -> None:
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
            timeout=DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SystemChangeError(
            f"the engine of {name} did not start within {DEADLINE:g} s; try again"
        ) from None
    if engine.returncode:
        said = engine.stderr.strip().splitlines() or ["the engine did not start; see the log"]
        is_privilege = engine.returncode == PrivilegeError.exit_code
        raise (PrivilegeError if is_privilege else SystemChangeError)(
            said[-1].removeprefix("fs-wg: error: ")
        )


def configure(name: str, update: DeviceUpdate) -> None:
    try:
        UapiClient(name).set(update)
    except uapi.UapiError as error:
        if error.errno == errno.EADDRINUSE:
            raise SystemChangeError(
                f"UDP port {update.listen_port} is in use; stop its program (ss -lunp), "
                "or set another ListenPort"
            ) from None
        raise


def difference(
    running: DeviceStatus, wanted: DeviceUpdate, keeps: Callable[[PublicKey], bool] | None
) -> DeviceUpdate:
    """The update from ``running`` to ``wanted``, which ends no session."""
    names = {peer.public_key for peer in wanted.peers}
    removed = tuple(
        uapi.PeerUpdate(peer.public_key, remove=True)
        for peer in running.peers
        if peer.public_key not in names and not (keeps and keeps(peer.public_key))
    )
    return replace(wanted, replace_peers=False, peers=removed + wanted.peers)


@contextmanager
def engine_process(name: str) -> Iterator[int]:
    """A file descriptor that is readable once the engine of ``name`` has ended."""
    descriptor = _open_process(name)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def wait_for_end(name: str) -> None:
    """Return when no engine answers, and remove the sockets of one that was killed."""
    deadline = time.monotonic() + DEADLINE
    while is_answered(name):
        if time.monotonic() > deadline:
            raise SystemChangeError(f"the engine of {name} does not end; kill it by its process id")
        time.sleep(0.05)
    for socket in (uapi.socket_path(name), control.socket_path(name)):
        socket.unlink(missing_ok=True)


def _open_process(name: str) -> int:
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            return os.pidfd_open(int(control.status(name)["pid"]))
        except (ControlError, NotRunningError, ProcessLookupError):
            # It may be about to end, or too busy to answer.
            if not is_answered(name):
                break
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)
    # It has ended, and closed its side of this connection.
    descriptor, other = os.pipe()
    os.close(other)
    return descriptor
