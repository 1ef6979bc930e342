# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Parse tunnel files strictly: the INI of wg(8) and wg-quick(8).

An error names the file, the line, the key and the remedy.  The parser guesses nothing, and no error
repeats a key's bytes.  Keys and sections are case-insensitive; ``#`` begins a comment.
"""

import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from pathlib import Path
from typing import Literal

from fs_tunnel.ini import Section, read_sections
from fs_tunnel.proto.crypto import public_key
from fs_wire.errors import ConfigError
from fs_wire.types import (
    NO_PRESHARED_KEY,
    IPAddress,
    IPNetwork,
    PresharedKey,
    PrivateKey,
    PublicKey,
    parse_network,
)

MAX_FILE_BYTES = 16 << 20  # 10,000 peers take about 2 MiB
HOOK_KINDS = ("PreUp", "PostUp", "PreDown", "PostDown")
MIN_MTU, MAX_MTU = 576, 65535
MIN_MTU_V6 = 1280  # RFC 8200, section 5: below it, the kernel takes IPv6 off the interface

_NAME = re.compile(r"[a-zA-Z0-9_=+.-]{1,15}")
_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_MAX_U32 = 2**32 - 1


@dataclass(frozen=True, slots=True)
class EndpointName:
    """An endpoint as it was written: ``host`` may be a DNS name."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Hook:
    """A shell line of PreUp, PostUp, PreDown or PostDown, with its line number."""

    kind: str
    command: str
    line: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class InterfaceConfig:
    """The [Interface] section; a field is None if the file does not set it."""

    private_key: PrivateKey
    listen_port: int | None = None
    fwmark: int | None = None
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()
    dns: tuple[IPAddress, ...] = ()
    dns_search: tuple[str, ...] = ()
    mtu: int | None = None
    table: int | Literal["auto", "off"] = "auto"
    hooks: tuple[Hook, ...] = ()
    save_config: bool = False


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """A [Peer] section; ``persistent_keepalive`` in seconds, 0 for off."""

    public_key: PublicKey
    preshared_key: PresharedKey | None = None
    allowed_ips: tuple[IPNetwork, ...] = ()
    endpoint: EndpointName | None = None
    persistent_keepalive: int = 0


@dataclass(frozen=True, slots=True)
class TunnelConfig:
    """A whole file; ``name`` is the name of the interface."""

    name: str
    source: str
    interface: InterfaceConfig
    peers: tuple[PeerConfig, ...]


def load(path: Path) -> TunnelConfig:
    """Read and parse a file; its name without ``.conf`` becomes the interface's."""
    source = str(path)
    name = check_name(path.name.removesuffix(".conf"), source=source)
    raw = read_at_most(path, MAX_FILE_BYTES, "this is no tunnel's file")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise ConfigError("not UTF-8 text; this is no tunnel's file", source=source) from None
    return parse(text, name=name, source=source)


def read_at_most(path: Path, most: int, remedy: str) -> bytes:
    """The content of a file; ConfigError if it cannot be read, or has more than ``most`` bytes."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(most + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}; check the path", source=str(path)
        ) from None
    if len(raw) > most:
        raise ConfigError(f"larger than {most >> 20} MiB; {remedy}", source=str(path))
    return raw


def check_name(name: str, *, source: str | None = None) -> str:
    """Return a valid interface name; ConfigError for any other."""
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise ConfigError(
            f"{name!r} is no interface name; name the file with 1 to 15 of a-z A-Z 0-9 _ = + . - "
            "and .conf",
            source=source,
        )
    return name


def permission_warning(path: Path) -> str | None:
    """A warning if other users can read a file, and so its key; otherwise None."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        return f"{path} can be read by other users; chmod 600 {path}"
    return None


def parse(text: str, *, name: str, source: str) -> TunnelConfig:
    """Parse a file's text; ConfigError for the first fault."""
    sections = read_sections(text, source, _KEYS)
    interfaces = [section for section in sections if section.kind == "interface"]
    if not interfaces:
        raise ConfigError("no [Interface]; add one with a PrivateKey", source=source)
    if len(interfaces) > 1:
        raise ConfigError(
            "a second [Interface]; a file has one", source=source, line=interfaces[1].line
        )
    interface = _interface(interfaces[0])
    ours = PublicKey(public_key(interface.private_key.raw))
    peers: dict[PublicKey, PeerConfig] = {}
    for section in sections:
        if section.kind == "peer":
            peer = _peer(section)
            if peer.public_key == ours:
                raise section.error("publickey", "this is our own key; write the other side's")
            if peer.public_key in peers:
                raise section.error("publickey", "an earlier [Peer] has this key; merge the two")
            peers[peer.public_key] = peer
    return TunnelConfig(name, source, interface, tuple(peers.values()))


def render(config: TunnelConfig) -> str:
    """The text of a file that parses to ``config``; it holds secrets."""
    interface = config.interface
    dns = [*map(str, interface.dns), *interface.dns_search]
    lines = [
        "[Interface]",
        f"PrivateKey = {interface.private_key.to_base64()}",
        *([f"ListenPort = {interface.listen_port}"] if interface.listen_port is not None else []),
        *([f"FwMark = {interface.fwmark:#x}"] if interface.fwmark is not None else []),
        *([f"Address = {', '.join(map(str, interface.addresses))}"] if interface.addresses else []),
        *([f"DNS = {', '.join(dns)}"] if dns else []),
        *([f"MTU = {interface.mtu}"] if interface.mtu is not None else []),
        *([f"Table = {interface.table}"] if interface.table != "auto" else []),
        *(f"{hook.kind} = {hook.command}" for hook in interface.hooks),
        *(["SaveConfig = true"] if interface.save_config else []),
    ]
    for peer in config.peers:
        lines += ["", "[Peer]", f"PublicKey = {peer.public_key.to_base64()}"]
        if peer.preshared_key is not None:
            lines.append(f"PresharedKey = {peer.preshared_key.to_base64()}")
        if peer.allowed_ips:
            lines.append(f"AllowedIPs = {', '.join(map(str, peer.allowed_ips))}")
        if peer.endpoint is not None:
            lines.append(f"Endpoint = {peer.endpoint}")
        if peer.persistent_keepalive:
            lines.append(f"PersistentKeepalive = {peer.persistent_keepalive}")
    return "\n".join(lines) + "\n"


# Sections.


_KEYS = {
    "interface": {
        name.lower(): name
        for name in (
            *("PrivateKey", "ListenPort", "FwMark", "Address", "DNS", "MTU", "Table"),
            *("SaveConfig", *HOOK_KINDS),
        )
    },
    "peer": {
        name.lower(): name
        for name in ("PublicKey", "PresharedKey", "AllowedIPs", "Endpoint", "PersistentKeepalive")
    },
}


def _interface(section: Section) -> InterfaceConfig:
    dns = section.words("dns", _resolver)
    addresses = tuple(section.words("address", _address))
    mtu = section.last("mtu", _number(MIN_MTU, MAX_MTU))
    if mtu is not None and mtu < MIN_MTU_V6 and any(each.version == 6 for each in addresses):
        raise section.error("mtu", f"IPv6 needs {MIN_MTU_V6}; write it, or drop the IPv6 Address")
    return InterfaceConfig(
        private_key=section.required("privatekey", "PrivateKey", PrivateKey.from_base64),
        listen_port=section.last("listenport", _number(0, 65535)),
        fwmark=section.last("fwmark", _or_off(_number(0, _MAX_U32, or_hex=True))),
        addresses=addresses,
        dns=tuple(each for each in dns if not isinstance(each, str)),
        dns_search=tuple(each for each in dns if isinstance(each, str)),
        mtu=mtu,
        table=section.last("table", _table) or "auto",
        hooks=_hooks(section),
        save_config=section.last("saveconfig", _boolean) or False,
    )


def _peer(section: Section) -> PeerConfig:
    preshared_key = section.last("presharedkey", PresharedKey.from_base64)
    return PeerConfig(
        public_key=section.required("publickey", "PublicKey", PublicKey.from_base64),
        preshared_key=None if preshared_key == NO_PRESHARED_KEY else preshared_key,
        # A network that is listed twice is one network.
        allowed_ips=tuple(dict.fromkeys(section.listed("allowedips", _network))),
        endpoint=section.last("endpoint", _endpoint),
        persistent_keepalive=section.last("persistentkeepalive", _or_off(_number(0, 65535))) or 0,
    )


def _hooks(section: Section) -> tuple[Hook, ...]:
    found = [
        Hook(kind, entry.value, entry.line)
        for kind in HOOK_KINDS
        for entry in section.entries.get(kind.lower(), [])
    ]
    return tuple(sorted(found, key=lambda hook: hook.line))


# Values.


def _number(low: int, high: int, *, or_hex: bool = False) -> Callable[[str], int]:
    def parse(text: str) -> int:
        is_hex = or_hex and text.lower().startswith("0x")
        digits = text[2:] if is_hex else text
        if not re.fullmatch(r"[0-9a-fA-F]{1,8}" if is_hex else r"[0-9]{1,10}", digits):
            raise ValueError(f"not a number; write one between {low} and {high}")
        number = int(digits, 16 if is_hex else 10)
        if not low <= number <= high:
            raise ValueError(f"out of range; write a number between {low} and {high}")
        return number

    return parse


def _or_off(parse: Callable[[str], int]) -> Callable[[str], int]:
    return lambda text: 0 if text.lower() == "off" else parse(text)


def _table(text: str) -> int | Literal["auto", "off"]:
    match text.lower():
        case "auto":
            return "auto"
        case "off":
            return "off"
    try:
        return _number(1, _MAX_U32, or_hex=True)(text)
    except ValueError:
        raise ValueError(f"not a table; write auto, off or 1 to {_MAX_U32}") from None


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("write true or false")
    return text.lower() == "true"


def _address(text: str) -> IPv4Interface | IPv6Interface:
    try:
        if "%" in text:  # a zone may hold any character
            raise ValueError
        return ip_interface(text)
    except ValueError:
        raise ValueError("not an address; write 10.66.0.2/32 or fd66::2/128") from None


def _network(text: str) -> IPNetwork:
    try:
        return parse_network(text)
    except ValueError:
        raise ValueError("not a network; write 10.0.0.0/8, fd00::/8 or 0.0.0.0/0") from None


def _resolver(text: str) -> IPAddress | str:
    try:
        return _numeric(text)
    except ValueError:
        return _host(text)


def _numeric(text: str) -> IPAddress:
    """Parse an address, and check its zone: the interface of a link-local address."""
    address = ip_address(text)
    if isinstance(address, IPv6Address) and not _NAME.fullmatch(address.scope_id or "any"):
        raise ValueError(text)
    return address


def _host(text: str) -> str:
    """Return a domain name; ValueError for others, such as a name that reads as IPv4."""
    name = text.removesuffix(".")
    labels = name.split(".")
    if (
        len(name) > 253
        or not all(_HOST_LABEL.fullmatch(label) for label in labels)
        or _NUMERIC_LABEL.fullmatch(labels[-1])
    ):
        raise ValueError("not an address or a domain name; check it for stray characters")
    return text


def _endpoint(text: str) -> EndpointName:
    remedy = "write host:51820, 192.0.2.1:51820 or [2001:db8::1]:51820"
    host, colon, port = text.rpartition(":")
    try:
        number = _number(1, 65535)(port)
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            if _numeric(host).version != 6:
                raise ValueError
        elif not colon or isinstance(_resolver(host), IPv6Address):
            raise ValueError
    except ValueError:
        raise ValueError(f"not an endpoint; {remedy}") from None
    return EndpointName(host, number)
