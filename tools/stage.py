# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The stage of the demo: three namespaces, two links and a folder, which all vanish at the end.

client ------------------------ provider ----------------------- internet
198.51.100.2   the wire   198.51.100.1  203.0.113.1   203.0.113.80, a web server
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Self

from tests.netns.topology import Namespace, Topology, run

REPOSITORY = Path(__file__).resolve().parent.parent
CLIENT_ADDRESS, PROVIDER_ADDRESS = "198.51.100.2", "198.51.100.1"
INTERNET_NETWORK = "203.0.113.0/24"
PROVIDER_WAN_ADDRESS, WEB_ADDRESS = "203.0.113.1", "203.0.113.80"
WIRE, WAN = "eth0", "wan"
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SECONDS = 60.0
_UAPI_SOCKETS = Path("/var/run/wireguard")


class StepFailed(Exception):
    """A step of the demo failed; the message says how."""


@dataclass
class Stage:
    """The namespaces, and the folder for all files."""

    client: Namespace
    provider: Namespace
    internet: Namespace
    folder: Path
    _roles: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self._roles = {
            self.client.name: "client",
            self.provider.name: "provider",
            self.internet.name: "internet",
        }

    def type(self, where: Namespace, command: str) -> str:
        """Print a command, run it in ``where`` as if a user typed it, print and return its output.

        A shell runs it, so that pipes work. Raises StepFailed with the command's output if it
        fails.
        """
        print(f"  {self._roles[where.name]}# {command}", flush=True)
        said = self.ask(where, command)
        for line in said.splitlines():
            print(f"    {line}".rstrip(), flush=True)
        return said

    def ask(self, where: Namespace, command: str) -> str:
        """Run a command like ``type``, but print nothing."""
        done = subprocess.run(
            ["ip", "netns", "exec", where.name, "sh", "-ec", f"umask 077; {command}"],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environment(),
            timeout=_SECONDS,
            check=False,
        )
        said = (done.stdout + done.stderr).strip()
        if done.returncode != 0:
            raise StepFailed(f"`{command}` ended with {done.returncode}: {said}")
        return said

    def environment(self) -> dict[str, str]:
        """Put the scripts of .venv on PATH, and journals and control sockets into the folder."""
        return {
            **os.environ,
            "PATH": f"{REPOSITORY / '.venv/bin'}:{os.environ['PATH']}",
            "FS_TUNNEL_RUN_DIR": str(self.folder / "run"),
            "FS_TUNNEL_STATE_DIR": str(self.folder / "state"),
        }


class Interrupts:
    """Turns Ctrl-C, SIGTERM and SIGHUP into KeyboardInterrupt, except in set-up and removal."""

    def __init__(self) -> None:
        self._held = False
        self._pending = False

    def __enter__(self) -> Self:
        for number in _ENDINGS:
            signal.signal(number, self._arrive)
        return self

    def __exit__(self, *_exc: object) -> None:
        for number in _ENDINGS:
            signal.signal(number, signal.SIG_DFL)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Delay interrupts until the end of the block."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._pending:
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """Ignore interrupts from now on, because everything is being removed."""
        for number in _ENDINGS:
            signal.signal(number, signal.SIG_IGN)

    def _arrive(self, _number: int, _frame: FrameType | None) -> None:
        self._pending = True
        if not self._held:
            raise KeyboardInterrupt


@contextlib.contextmanager
def stage(interrupts: Interrupts, tunnels: tuple[str, ...]) -> Iterator[Stage]:
    """Build the stage and remove it in any case; ``tunnels`` are the interfaces that may come up.

    Raises StepFailed if something is left behind.
    """
    with contextlib.ExitStack() as stack:
        with interrupts.held():
            stack.enter_context(_alone())
            folder = Path(tempfile.mkdtemp(prefix="flowshield-demo-"))
            folder.chmod(0o711)  # unprivileged agents have their books in it
            names: list[str] = []
            # The stack runs backwards: end processes, remove namespaces, remove files, check.
            stack.callback(_check_nothing_is_left, names, folder, tunnels)
            stack.callback(_remove_files, folder, tunnels)
            topology = stack.enter_context(Topology())
            built = _build(topology, folder, names)
            stack.callback(interrupts.ignore)
        yield built


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    # Interfaces and UAPI sockets have fixed names, so only one demo can run. An abstract socket as
    # lock leaves no file.
    with socket.socket(socket.AF_UNIX) as lock:
        try:
            lock.bind("\0flowshield-demo")
        except OSError:
            raise StepFailed("another demo runs on this machine; wait until it ends") from None
        yield


def _build(topology: Topology, folder: Path, names: list[str]) -> Stage:
    client, provider, internet = map(topology.namespace, ("cli", "prov", "inet"))
    names += [client.name, provider.name, internet.name]
    topology.link(
        *(client, WIRE, [f"{CLIENT_ADDRESS}/24"]), *(provider, WIRE, [f"{PROVIDER_ADDRESS}/24"])
    )
    topology.link(
        *(provider, WAN, [f"{PROVIDER_WAN_ADDRESS}/24"]), *(internet, WAN, [f"{WEB_ADDRESS}/24"])
    )
    client.ip("route", "add", "default", "via", PROVIDER_ADDRESS)
    provider.ip("route", "add", "default", "via", WEB_ADDRESS)
    # Before the tunnel is up, the client reaches the chain through the provider.
    provider.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    internet.ip("route", "add", f"{CLIENT_ADDRESS}/32", "via", PROVIDER_WAN_ADDRESS)
    return Stage(client, provider, internet, folder)


def _remove_files(folder: Path, tunnels: tuple[str, ...]) -> None:
    for name in tunnels:
        # An engine that was killed with its namespace leaves its socket behind.
        (_UAPI_SOCKETS / f"{name}.sock").unlink(missing_ok=True)
    shutil.rmtree(folder)


def _check_nothing_is_left(names: list[str], folder: Path, tunnels: tuple[str, ...]) -> None:
    left = [line for line in run("ip", "netns", "list").splitlines() if line.split()[0] in names]
    left += [str(path) for path in [folder] if path.exists()]
    left += [str(path) for path in _UAPI_SOCKETS.glob("*.sock") if path.stem in tunnels]
    left += [
        f"process {entry.name}"
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _works_for(entry, tunnels)
    ]
    if left:
        raise StepFailed(f"the demo left something behind: {', '.join(left)}; remove it by hand")


def _works_for(process: Path, tunnels: tuple[str, ...]) -> bool:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:  # the process has just ended
        return False
    if b"fs_tunnel.roles.agent" in words:
        return _is_of_demo(process)
    is_ours = b"fs_tunnel.cli.fs_wg" in words or b"fs_tunnel.helper.process" in words
    return is_ours and any(name.encode() in words for name in tunnels)


def _is_of_demo(agent: Path) -> bool:
    """Whether an agent belongs to the demo; only its environment names the folder."""
    try:
        return b"flowshield-demo-" in (agent / "environ").read_bytes()
    except OSError:
        return False
