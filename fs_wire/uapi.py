# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""WireGuard's cross-platform UAPI: the words that ``wg`` and an engine exchange.

A request is ``get=1`` or ``set=1``, further ``key=value`` lines, and an empty line.  A reply ends
with ``errno=N`` and an empty line.  Keys are in hexadecimal.  Source:
https://www.wireguard.com/xplatform/, and ipc-uapi.h of wireguard-tools.
"""

import errno
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from fs_wire.errors import ControlError, UsageError
from fs_wire.types import (
    Endpoint,
    IPNetwork,
    PresharedKey,
    PrivateKey,
    PublicKey,
    parse_network,
)

_NO_KEY = "0" * 64
_NS_PER_S = 1_000_000_000
_T = TypeVar("_T")


class UapiError(ControlError):
    """An engine refuses a request with an errno."""

    def __init__(self, number: int, message: str = "") -> None:
        self.errno = number
        super().__init__(message or f"the engine refused: {os.strerror(number)}; check the value")


@dataclass(frozen=True, slots=True)
class AllowedIPChange:
    """A network to give to a peer, or to take from it if ``remove`` is true."""

    network: IPNetwork
    remove: bool = False


@dataclass(frozen=True, slots=True)
class PeerUpdate:
    """The changes of one peer; None leaves a value as it is."""

    public_key: PublicKey
    remove: bool = False
    update_only: bool = False
    preshared_key: PresharedKey | None = None
    endpoint: Endpoint | None = None
    persistent_keepalive: int | None = None
    replace_allowed_ips: bool = False
    allowed_ips: tuple[AllowedIPChange, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceUpdate:
    """The changes of an interface; None leaves a value as it is."""

    private_key: PrivateKey | None = None
    remove_private_key: bool = False
    listen_port: int | None = None
    fwmark: int | None = None
    replace_peers: bool = False
    peers: tuple[PeerUpdate, ...] = ()


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """The state of one peer.

    ``last_handshake_ns`` is in nanoseconds since the epoch, 0 for never.  ``tx_bytes`` and
    ``rx_bytes`` count the bytes on the wire, and ``persistent_keepalive`` is in seconds, 0 for off.
    """

    public_key: PublicKey
    preshared_key: PresharedKey | None
    endpoint: Endpoint | None
    last_handshake_ns: int
    tx_bytes: int
    rx_bytes: int
    persistent_keepalive: int
    allowed_ips: tuple[IPNetwork, ...]


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """The state of an interface; ``listen_port`` is 0 before it was up, ``fwmark`` 0 for none."""

    private_key: PrivateKey | None
    listen_port: int
    fwmark: int
    peers: tuple[PeerStatus, ...]


def socket_path(ifname: str) -> Path:
    """Return the path at which ``wg`` looks for the engine of an interface."""
    return Path("/var/run/wireguard") / f"{ifname}.sock"


# The engine's side.


def parse_set_untrusted(body: str) -> DeviceUpdate:
    """Parse the lines after ``set=1``.

    Raise UapiError with EINVAL if a line is wrong, and with EPROTONOSUPPORT for another version of
    the protocol.
    """
    update, peers = DeviceUpdate(), []
    lines = [line for line in body.split("\n") if line]
    for position, line in enumerate(lines):
        key, _, value = line.partition("=")
        if key == "public_key":
            peers = list(_parse_peers(lines[position:]))
            break
        if key not in _DEVICE_KEYS:
            raise UapiError(errno.EINVAL, f"{key!r} is not a key of an interface")
        update = _DEVICE_KEYS[key](update, value)
    return replace(update, peers=tuple(peers))


def render_get(status: DeviceStatus) -> str:
    """Return the reply to ``get=1``, without its ``errno``."""
    lines = []
    if status.private_key is not None:
        lines.append(f"private_key={status.private_key.to_hex()}")
    if status.listen_port:
        lines.append(f"listen_port={status.listen_port}")
    if status.fwmark:
        lines.append(f"fwmark={status.fwmark}")
    for peer in status.peers:
        seconds, nanoseconds = divmod(peer.last_handshake_ns, _NS_PER_S)
        lines += [
            f"public_key={peer.public_key.to_hex()}",
            f"preshared_key={peer.preshared_key.to_hex() if peer.preshared_key else _NO_KEY}",
            "protocol_version=1",
            *([f"endpoint={peer.endpoint}"] if peer.endpoint else []),
            f"last_handshake_time_sec={seconds}",
            f"last_handshake_time_nsec={nanoseconds}",
            f"tx_bytes={peer.tx_bytes}",
            f"rx_bytes={peer.rx_bytes}",
            f"persistent_keepalive_interval={peer.persistent_keepalive}",
            *(f"allowed_ip={network}" for network in peer.allowed_ips),
        ]
    return "".join(f"{line}\n" for line in lines)


# The client's side.


def render_set(update: DeviceUpdate) -> str:
    """Return the lines after ``set=1``."""
    lines = []
    if update.remove_private_key:
        lines.append(f"private_key={_NO_KEY}")
    elif update.private_key is not None:
        lines.append(f"private_key={update.private_key.to_hex()}")
    if update.listen_port is not None:
        lines.append(f"listen_port={update.listen_port}")
    if update.fwmark is not None:
        lines.append(f"fwmark={update.fwmark}")
    if update.replace_peers:
        lines.append("replace_peers=true")
    for peer in update.peers:
        lines += _render_peer(peer)
    return "".join(f"{line}\n" for line in lines)


def parse_get(text: str) -> DeviceStatus:
    """Parse an engine's reply to ``get=1``; raise ControlError if a value is wrong."""
    device: dict[str, str] = {}
    peers: list[dict[str, list[str]]] = []
    for line in text.split("\n"):
        key, _, value = line.partition("=")
        if key == "public_key":
            peers.append({})
        if peers:
            peers[-1].setdefault(key, []).append(value)
        else:
            device[key] = value
    try:
        private_key = device.get("private_key", _NO_KEY)
        return DeviceStatus(
            private_key=None if private_key == _NO_KEY else PrivateKey.from_hex(private_key),
            listen_port=_u16(device.get("listen_port", "0")),
            fwmark=_u32(device.get("fwmark", "0")),
            peers=tuple(_parse_peer_status(peer) for peer in peers),
        )
    except (ValueError, UsageError):
        raise ControlError("the engine's answer has a wrong value; restart the tunnel") from None


# Helpers.


def _parse_peers(lines: list[str]) -> Iterator[PeerUpdate]:
    """Yield each peer; its lines begin with its public key."""
    peer: PeerUpdate | None = None
    networks: list[AllowedIPChange] = []  # one peer may have a hundred thousand
    for line in lines:
        key, _, value = line.partition("=")
        if key == "public_key":
            if peer is not None:
                yield replace(peer, allowed_ips=tuple(networks))
            peer, networks = PeerUpdate(_parse(PublicKey.from_hex, value)), []
        elif peer is not None and key == "allowed_ip":
            networks.append(_allowed_ip(value))
        elif peer is not None and key in _PEER_KEYS:
            peer = _PEER_KEYS[key](peer, value)
        else:
            raise UapiError(errno.EINVAL, f"{key!r} is not a key of a peer")
    if peer is not None:
        yield replace(peer, allowed_ips=tuple(networks))


def _parse(parse: Callable[[str], _T], value: str) -> _T:
    try:
        return parse(value)
    except (ValueError, UsageError) as error:
        raise UapiError(errno.EINVAL, f"a value is wrong: {error}") from None


def _number(limit: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not (value.isascii() and value.isalnum()):
            raise ValueError("not digits")  # int() would take signs, spaces and underscores
        number = int(value, 0) if value.startswith("0x") else int(value)
        if not 0 <= number <= limit:
            raise ValueError(f"not between 0 and {limit}")
        return number

    return parse


_u16 = _number(0xFFFF)
_u32 = _number(0xFFFFFFFF)
_u64 = _number(2**64 - 1)


def _flag(value: str) -> bool:
    if value != "true":
        raise ValueError("not true")
    return True


def _endpoint(text: str) -> Endpoint:
    """Parse an endpoint; the zone of a link-local address may be a link's name, as in ``wg``."""
    address, percent, rest = text.partition("%")
    zone, bracket, port = rest.partition("]")
    if percent and not zone.isdigit():
        try:
            zone = str(socket.if_nametoindex(zone))
        except OSError:
            raise ValueError("no link has this name") from None
    return Endpoint.parse(f"{address}{percent}{zone}{bracket}{port}")


def _private_key(update: DeviceUpdate, value: str) -> DeviceUpdate:
    if value == _NO_KEY:
        return replace(update, remove_private_key=True, private_key=None)
    return replace(update, private_key=_parse(PrivateKey.from_hex, value), remove_private_key=False)


def _allowed_ip(value: str) -> AllowedIPChange:
    # wireguard-tools of 2025 and later write a minus before a network to remove.
    remove = value.startswith("-")
    network = _parse(parse_network, value.removeprefix("-"))
    return AllowedIPChange(network, remove)


def _protocol_version(peer: PeerUpdate, value: str) -> PeerUpdate:
    if value != "1":
        raise UapiError(errno.EPROTONOSUPPORT, "this engine speaks only version 1 of WireGuard")
    return peer


_DEVICE_KEYS: dict[str, Callable[[DeviceUpdate, str], DeviceUpdate]] = {
    "private_key": _private_key,
    "listen_port": lambda u, v: replace(u, listen_port=_parse(_u16, v)),
    "fwmark": lambda u, v: replace(u, fwmark=_parse(_u32, v)),
    "replace_peers": lambda u, v: replace(u, replace_peers=_parse(_flag, v)),
}
_PEER_KEYS: dict[str, Callable[[PeerUpdate, str], PeerUpdate]] = {
    "remove": lambda p, v: replace(p, remove=_parse(_flag, v)),
    "update_only": lambda p, v: replace(p, update_only=_parse(_flag, v)),
    "preshared_key": lambda p, v: replace(p, preshared_key=_parse(PresharedKey.from_hex, v)),
    "endpoint": lambda p, v: replace(p, endpoint=_parse(_endpoint, v)),
    "persistent_keepalive_interval": lambda p, v: replace(p, persistent_keepalive=_parse(_u16, v)),
    "replace_allowed_ips": lambda p, v: replace(p, replace_allowed_ips=_parse(_flag, v)),
    "protocol_version": _protocol_version,
}


def _render_peer(peer: PeerUpdate) -> list[str]:
    lines = [f"public_key={peer.public_key.to_hex()}"]
    if peer.remove:
        lines.append("remove=true")
    if peer.update_only:
        lines.append("update_only=true")
    if peer.preshared_key is not None:
        lines.append(f"preshared_key={peer.preshared_key.to_hex()}")
    if peer.endpoint is not None:
        lines.append(f"endpoint={peer.endpoint}")
    if peer.persistent_keepalive is not None:
        lines.append(f"persistent_keepalive_interval={peer.persistent_keepalive}")
    if peer.replace_allowed_ips:
        lines.append("replace_allowed_ips=true")
    lines += [f"allowed_ip={'-' * each.remove}{each.network}" for each in peer.allowed_ips]
    return lines


def _parse_peer_status(peer: dict[str, list[str]]) -> PeerStatus:
    def last(key: str, default: str = "0") -> str:
        return peer.get(key, [default])[-1]

    preshared_key, endpoint = last("preshared_key", _NO_KEY), last("endpoint", "")
    return PeerStatus(
        public_key=PublicKey.from_hex(last("public_key")),
        preshared_key=None if preshared_key == _NO_KEY else PresharedKey.from_hex(preshared_key),
        endpoint=_endpoint(endpoint) if endpoint else None,
        last_handshake_ns=_u64(last("last_handshake_time_sec")) * _NS_PER_S
        + _u64(last("last_handshake_time_nsec")),
        tx_bytes=_u64(last("tx_bytes")),
        rx_bytes=_u64(last("rx_bytes")),
        persistent_keepalive=_u16(last("persistent_keepalive_interval")),
        allowed_ips=tuple(parse_network(network) for network in peer.get("allowed_ip", [])),
    )
