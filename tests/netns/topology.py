# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Make namespaces, links, addresses and routes for one ``with`` block.

Every name belongs to one test process, and everything is in namespaces of its own. All of it is
gone when the block ends. Processes end first, by pid. Then the namespaces go, and their links,
routes and rules with them.
"""

import contextlib
import ctypes
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_interface
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.netns.waiting import wait_until
from tools.testing import patience

REPOSITORY = Path(__file__).resolve().parents[2]
CLONE_NEWNET = 0x40000000
COMMAND_SECONDS = patience.seconds(60.0)
GRACE_SECONDS = 3.0

_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)


class CommandFailed(AssertionError):
    """A command of the test network ended with a status other than 0."""


def python_module(name: str) -> list[str]:
    """Return a command that runs a module of the repository from any directory."""
    return ["env", f"PYTHONPATH={REPOSITORY}", sys.executable, "-m", name]


def unique_name(role: str) -> str:
    """Return a name for a link or namespace, of at most 15 characters, that is used only once."""
    return f"{role[:5]}{os.getpid():x}{next(_numbers):x}"


def run(
    *argv: str,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    seconds: float = COMMAND_SECONDS,
) -> str:
    """Run a command and return its stdout; if it fails, raise CommandFailed with its stderr."""
    done = subprocess.run(
        argv,
        input="" if stdin is None else stdin,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env={**os.environ, **(env or {})},
    )
    if done.returncode != 0:
        raise CommandFailed(
            f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()} {done.stdout}"
        )
    return done.stdout


@dataclass(eq=False)
class Namespace:
    """A network namespace; :class:`Topology` makes it and removes it."""

    name: str
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(
        self,
        *argv: str,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        seconds: float = COMMAND_SECONDS,
    ) -> str:
        """Run a command inside the namespace; see :func:`run`."""
        return run(*self._inside(argv), stdin=stdin, env=env, seconds=seconds)

    def ip(self, *arguments: str) -> str:
        """Run ``ip`` on this namespace's links, addresses, routes and rules."""
        return run("ip", "-n", self.name, *arguments)

    def start(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.DEVNULL,
        stderr: int | IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process inside the namespace; it ends with the topology at the latest.

        ``ip netns exec`` replaces itself by the command, so the pid is the command's own.
        """
        process = subprocess.Popen(
            self._inside(argv),
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
        self._processes.append(process)
        return process

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Put the calling thread into the namespace; a socket that it opens there stays there."""
        with open("/proc/thread-self/ns/net", "rb") as home, open(self.path, "rb") as target:
            _setns(target.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())

    def open_socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """Open a socket of this namespace in the test's own process."""
        with self.entered():
            return socket.socket(family, kind, protocol)

    def udp_socket(self, address: str, port: int = 0, *, seconds: float = 5.0) -> socket.socket:
        """Open a UDP socket that is bound to ``address`` and has ``seconds`` as its timeout."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = self.open_socket(family, socket.SOCK_DGRAM)
        try:
            made.bind((address, port))
            made.settimeout(seconds)
        except OSError:
            made.close()
            raise
        return made

    @property
    def path(self) -> Path:
        return Path("/run/netns", self.name)

    def pids(self) -> list[int]:
        """Return the processes inside, including daemons that left their parents."""
        return [int(pid) for pid in run("ip", "netns", "pids", self.name).split()]

    def sysctl(self, key: str, value: int | str) -> None:
        """Set a ``net.*`` sysctl; the name has slashes, as in ``net/ipv4/ip_forward``."""
        with self.entered():
            Path("/proc/sys", key).write_text(str(value))

    def has_link(self, ifname: str) -> bool:
        with self.entered():
            return ifname in (name for _, name in socket.if_nameindex())

    def stop_processes(self) -> None:
        """End all processes inside, by SIGTERM and then by force, and wait until they are gone."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            deadline = time.monotonic() + GRACE_SECONDS
            while self._reap() and time.monotonic() < deadline:
                time.sleep(0.01)
        for process in self._processes:
            process.wait(COMMAND_SECONDS)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    # Nobody can flush a pipe to a process that is gone.
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()
        wait_until(lambda: not self.pids(), what=f"{self.name} is empty of processes")

    def _reap(self) -> bool:
        """Reap our dead children, and tell whether anything still runs inside."""
        for process in self._processes:
            process.poll()
        return bool(self.pids())

    def _inside(self, argv: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *argv]


class Topology:
    """A set of namespaces; the end of the ``with`` block removes them, whatever happened in it."""

    def __init__(self) -> None:
        self._namespaces: list[Namespace] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.ExitStack() as stack:
            # Every callback runs, even if an earlier one raises.
            for namespace in self._namespaces:
                stack.callback(run, "ip", "netns", "del", namespace.name)
            for namespace in self._namespaces:
                stack.callback(namespace.stop_processes)

    def namespace(self, role: str) -> Namespace:
        """Make a namespace with loopback up; its IPv6 addresses are usable at once (no DAD)."""
        made = Namespace(unique_name(role))
        run("ip", "netns", "add", made.name)
        self._namespaces.append(made)
        for scope in ("all", "default"):
            made.sysctl(f"net/ipv6/conf/{scope}/accept_dad", 0)
            made.sysctl(f"net/ipv6/conf/{scope}/accept_ra", 0)
        made.ip("link", "set", "lo", "up")
        return made

    def link(
        self,
        left: Namespace,
        left_name: str,
        left_addresses: Sequence[str],
        right: Namespace,
        right_name: str,
        right_addresses: Sequence[str],
    ) -> None:
        """Join two namespaces by a veth pair with addresses such as ``192.0.2.1/24``."""
        run(
            *("ip", "link", "add", left_name, "netns", left.name, "type", "veth"),
            *("peer", "name", right_name, "netns", right.name),
        )
        for namespace, name, addresses in (
            (left, left_name, left_addresses),
            (right, right_name, right_addresses),
        ):
            add_addresses(namespace, name, addresses)
            namespace.ip("link", "set", name, "up")


def add_addresses(namespace: Namespace, ifname: str, addresses: Sequence[str]) -> None:
    """Give a link its addresses, without detection of duplicates for IPv6."""
    for address in addresses:
        nodad = ["nodad"] if ip_interface(address).version == 6 else []
        namespace.ip("address", "add", address, "dev", ifname, *nodad)


@dataclass(frozen=True)
class Pair:
    """Alice and bob on one wire, with addresses of both families; the link is ``wire`` for both."""

    topology: Topology
    alice: Namespace
    bob: Namespace
    alice_v4: str = "192.0.2.1"
    bob_v4: str = "192.0.2.2"
    alice_v6: str = "2001:db8::1"
    bob_v6: str = "2001:db8::2"


@contextlib.contextmanager
def pair() -> Iterator[Pair]:
    """Join alice and bob by a wire."""
    with Topology() as topology:
        made = Pair(topology, topology.namespace("alice"), topology.namespace("bob"))
        topology.link(
            *(made.alice, "wire", [f"{made.alice_v4}/24", f"{made.alice_v6}/64"]),
            *(made.bob, "wire", [f"{made.bob_v4}/24", f"{made.bob_v6}/64"]),
        )
        yield made


@dataclass(frozen=True)
class Triangle:
    """A client is on a LAN behind a router; provider, web server and attacker share the other side.

    The link is ``lan`` in client and router. It is ``wan`` in router, provider, web and attacker;
    the router's is a bridge. If the router translates (``nat=True``), only replies come in to the
    LAN.
    """

    topology: Topology
    client: Namespace
    router: Namespace
    provider: Namespace
    web: Namespace
    attacker: Namespace
    client_v4: str = "192.168.1.100"
    router_lan_v4: str = "192.168.1.1"
    router_wan_v4: str = "203.0.113.1"
    provider_v4: str = "203.0.113.10"
    web_v4: str = "203.0.113.20"
    attacker_v4: str = "203.0.113.66"
    client_v6: str = "2001:db8:1::100"
    router_lan_v6: str = "2001:db8:1::1"
    router_wan_v6: str = "2001:db8:2::1"
    provider_v6: str = "2001:db8:2::10"
    web_v6: str = "2001:db8:2::20"
    attacker_v6: str = "2001:db8:2::66"


@contextlib.contextmanager
def triangle(*, nat: bool = True) -> Iterator[Triangle]:
    """Build the triangle with routes for both families; if ``nat``, the router translates IPv4."""
    with Topology() as topology:
        made = Triangle(
            topology,
            client=topology.namespace("cli"),
            router=topology.namespace("rout"),
            provider=topology.namespace("prov"),
            web=topology.namespace("web"),
            attacker=topology.namespace("attac"),
        )
        router = made.router
        topology.link(
            *(made.client, "lan", [f"{made.client_v4}/24", f"{made.client_v6}/64"]),
            *(router, "lan", [f"{made.router_lan_v4}/24", f"{made.router_lan_v6}/64"]),
        )
        router.ip("link", "add", "wan", "type", "bridge")
        add_addresses(router, "wan", [f"{made.router_wan_v4}/24", f"{made.router_wan_v6}/64"])
        router.ip("link", "set", "wan", "up")
        for namespace, port, v4, v6 in (
            (made.provider, "p-provider", made.provider_v4, made.provider_v6),
            (made.web, "p-web", made.web_v4, made.web_v6),
            (made.attacker, "p-attacker", made.attacker_v4, made.attacker_v6),
        ):
            topology.link(namespace, "wan", [f"{v4}/24", f"{v6}/64"], router, port, [])
            router.ip("link", "set", port, "master", "wan")
            namespace.ip("route", "add", "2001:db8:1::/64", "via", made.router_wan_v6)
            if not nat:
                namespace.ip("route", "add", "192.168.1.0/24", "via", made.router_wan_v4)
        made.client.ip("route", "add", "default", "via", made.router_lan_v4)
        made.client.ip("-6", "route", "add", "default", "via", made.router_lan_v6)
        router.sysctl("net/ipv4/ip_forward", 1)
        router.sysctl("net/ipv6/conf/all/forwarding", 1)
        if nat:
            add_masquerade(router, "wan")
        yield made


def add_masquerade(router: Namespace, ifname: str, *, v6: bool = False) -> None:
    """Translate the sources of packets that leave ``router`` by ``ifname``; IPv6 only if ``v6``."""
    families = ["ip", "ip6"] if v6 else ["ip"]
    tables = (
        f"table {family} nat {{\n"
        " chain post {\n"
        "  type nat hook postrouting priority srcnat\n"
        f'  oifname "{ifname}" masquerade\n'
        " }\n"
        "}\n"
        for family in families
    )
    router.run("nft", "-f", "-", stdin="".join(tables))


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
