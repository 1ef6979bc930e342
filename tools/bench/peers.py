# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The programs that are compared. Each can start a tunnel between alice and bob, and end it."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fs_tunnel.engine import pumps
from tests.netns.peers import FS, WIREGUARD_GO, Engine, introduce, running
from tests.netns.topology import CommandFailed, Namespace, Pair, run
from tests.netns.waiting import wait_until

ALICE, BOB = "10.66.0.1", "10.66.0.2"
MTU = 1420
OURS = "flowshield"


@dataclass(frozen=True)
class Tunnel:
    """A tunnel in which alice reaches bob at ``address``; ``pids`` are its processes."""

    alice: Namespace
    bob: Namespace
    address: str
    pids: tuple[int, ...]


class Vpn(Protocol):
    """A program to compare."""

    @property
    def name(self) -> str: ...

    def missing(self) -> str:
        """Return what this machine lacks to run it; empty if nothing is missing."""

    def up(self, net: Pair, folder: Path) -> AbstractContextManager[Tunnel]:
        """Start a tunnel for one block; ``folder`` is for keys and logs."""


@dataclass(frozen=True)
class Bare:
    """No tunnel at all: shows what the wire and the machine can do."""

    name: str = "veth"

    def missing(self) -> str:
        return ""

    @contextlib.contextmanager
    def up(self, net: Pair, folder: Path) -> Iterator[Tunnel]:  # noqa: ARG002
        yield Tunnel(net.alice, net.bob, net.bob_v4, ())


@dataclass(frozen=True)
class WireGuard:
    """An engine at both ends."""

    engine: Engine

    @property
    def name(self) -> str:
        return self.engine.name

    def missing(self) -> str:
        if self.engine.env.get("FS_WG_DATAPLANE") == "native" and not pumps.HAS_NATIVE:
            return "the native packet path was not built"
        return "" if shutil.which(self.engine.argv[0]) else f"install {self.name}"

    @contextlib.contextmanager
    def up(self, net: Pair, folder: Path) -> Iterator[Tunnel]:  # noqa: ARG002
        with (
            running(self.engine, net.alice, (f"{ALICE}/24",)) as alice,
            running(self.engine, net.bob, (f"{BOB}/24",)) as bob,
        ):
            introduce(alice, bob, (net.alice_v4, 51820), (net.bob_v4, 51820))
            pids = [each.process.pid for each in (alice, bob) if each.process is not None]
            made = Tunnel(net.alice, net.bob, BOB, tuple(pids))
            _wait_for_answer(made)
            yield made


@dataclass(frozen=True)
class OpenVpn:
    """OpenVPN from point to point over UDP, with certificates made for the run."""

    name: str = "openvpn"
    cipher: str = "AES-256-GCM"

    def missing(self) -> str:
        return "" if shutil.which("openvpn") else "install openvpn"

    @contextlib.contextmanager
    def up(self, net: Pair, folder: Path) -> Iterator[Tunnel]:
        prints = {role: _self_signed(folder, role) for role in ("alice", "bob")}
        pids = []
        for here, local, remote, inside, outside, role, other, tls in (
            (net.alice, net.alice_v4, net.bob_v4, ALICE, BOB, "alice", "bob", ["--tls-client"]),
            (net.bob, net.bob_v4, net.alice_v4, BOB, ALICE, "bob", "alice", ["--tls-server"]),
        ):
            arguments = [
                *("--dev", "ovpn", "--dev-type", "tun", "--ifconfig", inside, outside),
                *("--proto", "udp", "--local", local, "--remote", remote, "--port", "1194"),
                *("--cert", f"{folder}/{role}.crt", "--key", f"{folder}/{role}.key"),
                *("--peer-fingerprint", prints[other], "--dh", "none"),
                *("--data-ciphers", self.cipher, "--cipher", self.cipher),
                # It runs without its kernel module, and without fragments on the wire.
                *("--disable-dco", "--tun-mtu", str(MTU), "--mssfix", "0"),
                *("--auth-nocache", "--verb", "1"),
            ]
            if role == "alice":
                arguments = [each for each in arguments if each not in ("--dh", "none")]
            pids.append(_start(here, folder / f"{role}.log", "openvpn", *arguments, *tls))
        made = Tunnel(net.alice, net.bob, BOB, tuple(pids))
        _wait_for_answer(made, folder)
        yield made


@dataclass(frozen=True)
class Nebula:
    """Nebula with a certificate authority made for the run; bob is the lighthouse."""

    name: str = "nebula"

    def missing(self) -> str:
        return "" if shutil.which("nebula") and shutil.which("nebula-cert") else "install nebula"

    @contextlib.contextmanager
    def up(self, net: Pair, folder: Path) -> Iterator[Tunnel]:
        authority = [f"{folder}/ca.crt", f"{folder}/ca.key"]
        run("nebula-cert", "ca", "-name", "bench", *_files("-out-crt", "-out-key", authority))
        pids = []
        for here, role, inside, other, remote in (
            (net.alice, "alice", ALICE, BOB, net.bob_v4),
            (net.bob, "bob", BOB, ALICE, net.alice_v4),
        ):
            own = [f"{folder}/{role}.crt", f"{folder}/{role}.key"]
            run(
                *("nebula-cert", "sign", "-name", role, "-ip", f"{inside}/24"),
                *_files("-ca-crt", "-ca-key", authority),
                *_files("-out-crt", "-out-key", own),
            )
            anybody = [{"port": "any", "proto": "any", "host": "any"}]
            settings = {
                "pki": {"ca": authority[0], "cert": own[0], "key": own[1]},
                "static_host_map": {other: [f"{remote}:4242"]},
                "lighthouse": {"am_lighthouse": role == "bob"},
                "listen": {"host": "0.0.0.0", "port": 4242},  # noqa: S104
                "tun": {"dev": "nebula", "mtu": MTU},
                "logging": {"level": "warning"},
                "firewall": {"inbound": anybody, "outbound": anybody},
            }
            if role == "alice":
                settings["lighthouse"] = {"am_lighthouse": False, "hosts": [BOB]}
            # Every JSON file is valid YAML.
            written = folder / f"{role}.yml"
            written.write_text(json.dumps(settings))
            pids.append(_start(here, folder / f"{role}.log", "nebula", "-config", str(written)))
        made = Tunnel(net.alice, net.bob, BOB, tuple(pids))
        _wait_for_answer(made, folder)
        yield made


FLOWSHIELD = WireGuard(replace(FS, name=OURS, env={"FS_WG_DATAPLANE": "native"}))
FLOWSHIELD_PYTHON = WireGuard(replace(FS, name=f"{OURS}-python", env={"FS_WG_DATAPLANE": "python"}))
# This variable, which wireguard-go sets for its daemon, turns off its advice to use the kernel.
WIREGUARD_GO_QUIET = WireGuard(replace(WIREGUARD_GO, env={"WG_PROCESS_FOREGROUND": "1"}))
ALL: tuple[Vpn, ...] = (
    Bare(),
    FLOWSHIELD,
    FLOWSHIELD_PYTHON,
    WIREGUARD_GO_QUIET,
    OpenVpn(),
    Nebula(),
)
NAMES = tuple(each.name for each in ALL)


def _start(namespace: Namespace, log: Path, *argv: str) -> int:
    with log.open("wb") as output:
        return namespace.start(*argv, stdout=output, stderr=output).pid


def _wait_for_answer(tunnel: Tunnel, logs: Path | None = None) -> None:
    """Wait until bob answers a ping; AssertionError quotes what the programs logged."""

    def answers() -> bool:
        try:
            tunnel.alice.run("ping", "-n", "-q", "-c", "1", "-W", "1", tunnel.address)
        except CommandFailed:
            return False
        return True

    try:
        wait_until(answers, what="a ping through the tunnel is answered")
    except AssertionError as error:
        said = "".join(each.read_text()[-500:] for each in logs.glob("*.log")) if logs else ""
        raise AssertionError(f"{error} {said}") from None


def _files(certificate: str, key: str, paths: list[str]) -> list[str]:
    return [certificate, paths[0], key, paths[1]]


def _self_signed(folder: Path, role: str) -> str:
    """Write a key and its certificate; return the fingerprint that the other end knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, role)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / f"{role}.crt").write_bytes(certificate.public_bytes(pem))
    private = folder / f"{role}.key"
    private.touch(mode=0o600)
    private.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()
