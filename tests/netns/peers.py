# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Start WireGuard engines, each on a TUN of its own; the real ``wg`` and ``ip`` drive them."""

import contextlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.netns.topology import Namespace, add_addresses, run, unique_name
from tests.netns.waiting import wait_until
from tools.testing import patience

UAPI_DIR = Path("/var/run/wireguard")
CONTROL_DIR = Path("/run/fs-tunnel")


@dataclass(frozen=True)
class Engine:
    """A program with wireguard-go's command line: ``PROGRAM [-f] IFNAME``.

    If ``is_ours``, it has the extras of fs-wg: a scaled clock, a key log and drop counters.
    """

    name: str
    argv: tuple[str, ...]
    is_ours: bool
    env: Mapping[str, str] = field(default_factory=dict)


FS = Engine("fs", (sys.executable, "-m", "fs_tunnel.cli.fs_wg"), is_ours=True)
FS_PYTHON = Engine("fs-python", FS.argv, is_ours=True, env={"FS_WG_DATAPLANE": "python"})
WIREGUARD_GO = Engine("wireguard-go", ("/usr/bin/wireguard-go",), is_ours=False)


def script_for(engine: Engine, directory: Path) -> Path:
    """Write an executable that starts ``engine``, for callers that take no arguments."""
    script = directory / engine.name
    environment = [f"{name}={value}" for name, value in engine.env.items()]
    command = shlex.join(["env", *environment, *engine.argv])
    script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    script.chmod(0o755)
    return script


@dataclass(frozen=True)
class KeyPair:
    """A base64 key pair that ``wg`` made; the private key never reaches an argv or a repr."""

    private: str = field(repr=False)
    public: str

    @classmethod
    def generate(cls) -> "KeyPair":
        private = run("wg", "genkey").strip()
        return cls(private, run("wg", "pubkey", stdin=private).strip())


def generate_psk() -> str:
    return run("wg", "genpsk").strip()


@dataclass(frozen=True)
class Transfer:
    received: int
    sent: int


@dataclass(eq=False)
class Peer:
    """A running engine; ``home`` holds its UDP sockets, and ``namespace`` holds its TUN."""

    engine: Engine
    home: Namespace
    namespace: Namespace
    ifname: str
    keys: KeyPair
    addresses: tuple[str, ...]
    process: subprocess.Popen[bytes] | None

    @property
    def v4(self) -> str:
        return next(a for a in self.addresses if ":" not in a).partition("/")[0]

    @property
    def v6(self) -> str:
        return next(a for a in self.addresses if ":" in a).partition("/")[0]

    @property
    def uapi(self) -> Path:
        return UAPI_DIR / f"{self.ifname}.sock"

    def wg(self, *arguments: str, stdin: str | None = None) -> str:
        """Run ``wg VERB IFNAME …``; the caller gives the verb, and this adds the interface."""
        verb, *rest = arguments
        return run("wg", verb, self.ifname, *rest, stdin=stdin)

    def add_peer(
        self,
        public: str,
        *,
        allowed_ips: Sequence[str],
        endpoint: tuple[str, int] | None = None,
        psk: str | None = None,
        keepalive: int | None = None,
    ) -> None:
        """Add a peer, or change the peer that exists; a pre-shared key is changed only if given."""
        arguments = ["peer", public]
        if psk is not None:
            arguments += ["preshared-key", "/dev/stdin"]
        if endpoint is not None:
            arguments += ["endpoint", show_endpoint(*endpoint)]
        if keepalive is not None:
            arguments += ["persistent-keepalive", str(keepalive)]
        self.wg("set", *arguments, "allowed-ips", ",".join(allowed_ips), stdin=psk)

    def remove_peer(self, public: str) -> None:
        self.wg("set", "peer", public, "remove")

    def set_psk(self, public: str, psk: str) -> None:
        """Change a peer's pre-shared key; a running session stays."""
        self.wg("set", "peer", public, "preshared-key", "/dev/stdin", stdin=psk)

    def forget_session(self, public: str) -> None:
        """Remove a peer and add it again, so that the next packet needs a handshake."""
        dumped = (line.split("\t") for line in self.wg("show", "dump").splitlines()[1:])
        settings = next(row for row in dumped if row[0] == public)
        _, psk, endpoint, allowed_ips, *_ = settings
        self.remove_peer(public)
        self.add_peer(
            public,
            allowed_ips=allowed_ips.split(","),
            psk=None if psk == "(none)" else psk,
            endpoint=None if endpoint == "(none)" else parse_endpoint(endpoint),
        )

    def listen_port(self) -> int:
        return int(self.wg("show", "listen-port"))

    def latest_handshake(self, public: str) -> int:
        """Return the unix time of the last handshake with a peer, or 0 if there was none."""
        return int(self._column("latest-handshakes")[public][0])

    def transfer(self, public: str) -> Transfer:
        received, sent = self._column("transfer")[public]
        return Transfer(int(received), int(sent))

    def endpoint(self, public: str) -> str:
        """Return the peer's endpoint as ``wg`` shows it; it is ``(none)`` if none is known."""
        return self._column("endpoints")[public][0]

    def peers(self) -> set[str]:
        return set(self.wg("show", "peers").split())

    def ping(self, address: str, *, count: int = 1, size: int = 56) -> None:
        """Ping from the TUN's namespace; raise CommandFailed if ``count`` replies do not come."""
        argv = ("ping", "-n", "-q", "-i", "0.01", "-c", str(count), "-w", "15", "-s", str(size))
        self.namespace.run(*argv, address)

    def uapi_request(self, request: str) -> str:
        """Send a request over the UAPI socket, without ``wg``, and return the reply."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(patience.seconds(10.0))
            client.connect(str(self.uapi))
            client.sendall(request.encode())
            client.shutdown(socket.SHUT_WR)
            with client.makefile() as reply:
                return reply.read()

    def drops(self) -> dict[str, int]:
        """Return how many datagrams and packets our engine refused, by reason."""
        status = control_request(self.ifname, {"op": "status"})
        drops = status["drops"]
        assert isinstance(drops, dict)
        return {str(reason): int(count) for reason, count in drops.items()}

    def alive(self) -> bool:
        """Tell whether the engine's process runs and its UAPI socket and TUN exist."""
        runs = self.process is None or self.process.poll() is None
        return runs and self.uapi.is_socket() and self.namespace.has_link(self.ifname)

    def move_tun(self, namespace: Namespace) -> None:
        """Move the TUN into another namespace; the UDP sockets stay at home."""
        self.namespace.ip("link", "set", self.ifname, "netns", namespace.name)
        self.namespace = namespace

    def bring_up(self) -> None:
        """Give the TUN its addresses and bring it up."""
        add_addresses(self.namespace, self.ifname, self.addresses)
        self.namespace.ip("link", "set", self.ifname, "up")

    def _column(self, what: str) -> dict[str, list[str]]:
        rows = (line.split("\t") for line in self.wg("show", what).splitlines())
        return {row[0]: row[1:] for row in rows}


@contextlib.contextmanager
def running(
    engine: Engine,
    namespace: Namespace,
    addresses: Sequence[str],
    *,
    port: int = 51820,
    env: Mapping[str, str] | None = None,
    tun_namespace: Namespace | None = None,
    keys: KeyPair | None = None,
) -> Iterator[Peer]:
    """Start an engine in the foreground, give it a key, a port and addresses; stop it at the end.

    The networks of the addresses become routes to the TUN. If there is a ``tun_namespace``, the TUN
    moves there before it is configured.
    """
    ifname = unique_name(namespace.name[:4])
    process = namespace.start(*engine.argv, "-f", ifname, env={**engine.env, **(env or {})})
    peer = Peer(
        engine, namespace, namespace, ifname, keys or KeyPair.generate(), tuple(addresses), process
    )
    try:
        wait_until(
            lambda: peer.alive() or process.poll() is not None, what=f"{engine.name} is ready"
        )
        if process.poll() is not None:
            raise AssertionError(f"{engine.name} ended with {process.returncode} at its start")
        if tun_namespace is not None:
            peer.move_tun(tun_namespace)
        peer.wg(
            *("set", "private-key", "/dev/stdin", "listen-port", str(port)),
            stdin=peer.keys.private,
        )
        peer.bring_up()
        yield peer
    finally:
        stop_process(process)
        remove_sockets(ifname)


def introduce(
    alice: Peer,
    bob: Peer,
    alice_outside: tuple[str, int] | None,
    bob_outside: tuple[str, int] | None,
    *,
    psk: str | None = None,
) -> None:
    """Make two engines peers for each other's addresses; None leaves an endpoint unknown."""
    for near, far, outside in ((alice, bob, bob_outside), (bob, alice, alice_outside)):
        hosts = [f"{a.partition('/')[0]}/{128 if ':' in a else 32}" for a in far.addresses]
        near.add_peer(far.keys.public, allowed_ips=hosts, endpoint=outside, psk=psk)


def stop_process(process: subprocess.Popen[bytes], *, seconds: float = 10.0) -> None:
    """End a process by SIGTERM, and then by force."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(seconds)


def remove_sockets(ifname: str) -> None:
    """Remove the sockets that a killed engine leaves behind."""
    (UAPI_DIR / f"{ifname}.sock").unlink(missing_ok=True)
    control_socket(ifname).unlink(missing_ok=True)


def control_socket(ifname: str) -> Path:
    return Path(os.environ.get("FS_TUNNEL_RUN_DIR", CONTROL_DIR)) / f"{ifname}.control"


def show_endpoint(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def control_request(ifname: str, request: Mapping[str, object]) -> dict[str, object]:
    """Send a JSON line over our engine's control socket, and return its answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.settimeout(patience.seconds(10.0))
        control.connect(str(control_socket(ifname)))
        control.sendall(json.dumps(request).encode() + b"\n")
        with control.makefile("rb") as lines:
            answer = json.loads(lines.readline())
    assert isinstance(answer, dict)
    return answer


def link_mtu(namespace: Namespace, ifname: str) -> int:
    found = re.search(r"mtu (\d+)", namespace.ip("link", "show", ifname))
    assert found is not None
    return int(found.group(1))
