# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Turn a user's file into the settings of an engine: endpoints, mark and MTU."""

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from fs_tunnel.config import EndpointName, TunnelConfig, check_name, load
from fs_tunnel.linux.firewall import lockdown
from fs_tunnel.linux.journal import plans
from fs_tunnel.linux.journal.journal import Journal
from fs_tunnel.linux.routing import links
from fs_wire.errors import ConfigError, PrivilegeError, SystemChangeError
from fs_wire.types import NO_PRESHARED_KEY, Endpoint, PublicKey
from fs_wire.uapi import AllowedIPChange, DeviceUpdate, PeerUpdate

CONFIG_DIRECTORIES = (Path("/etc/fs-tunnel"), Path("/etc/wireguard"))
_RESOLVE_DEADLINE = 20.0  # seconds
_RESOLVERS = 32  # names that are resolved at a time
_OUTER_HEADERS = 80  # bytes: IPv6 40, UDP 8, WireGuard 32
_USUAL_LINK_MTU = 1500
_MAX_LINK_MTU = 9216
_MIN_MTU = 1280  # RFC 8200, section 5


def read(conf: str) -> TunnelConfig:
    """Load the file ``conf``; a bare name is looked for in /etc/fs-tunnel and /etc/wireguard."""
    if "/" in conf or conf.endswith(".conf"):
        return load(Path(conf))
    for directory in CONFIG_DIRECTORIES:
        path = directory / f"{conf}.conf"
        if _is_there(path):
            return load(path)
    raise ConfigError(
        f"no such file; write one, or name it by its path, ./{conf}.conf", source=conf
    )


def tunnel_name(conf: str) -> str:
    """The name of the tunnel of a file; the file need not exist any more."""
    return check_name(Path(conf).name.removesuffix(".conf"))


def resolve(config: TunnelConfig) -> dict[PublicKey, Endpoint]:
    """The numeric endpoints of the peers that have one.

    If the tunnel died and blocks all traffic, nobody can resolve names: then we take its earlier
    addresses.  SystemChangeError if a name has no address, or there is no answer within 20 s.
    """
    header = Journal(config.name).header
    remembered = header.endpoints if header else {}
    answers = _ask({peer.endpoint for peer in config.peers if peer.endpoint})
    found = {}
    for peer in config.peers:
        if peer.endpoint is None:
            continue
        answer = answers.get(peer.endpoint, f"no answer within {_RESOLVE_DEADLINE:g} s")
        if isinstance(answer, Endpoint):
            found[peer.public_key] = answer
        elif str(peer.endpoint) in remembered:
            found[peer.public_key] = Endpoint.parse(remembered[str(peer.endpoint)])
        else:
            remedy = "check the name and the network"
            if lockdown.setting() is not None and lockdown.is_in_force():
                remedy = (
                    "lockdown lets nobody resolve names: write the address itself, "
                    "or fs-tunnel lockdown off until it is up"
                )
            raise SystemChangeError(
                f"the endpoint {peer.endpoint.host} has no address: {answer}; {remedy}"
            )
    return found


def choose_mark(config: TunnelConfig, protection: plans.Protection) -> int:
    """The mark that the tunnel has while it is up, or will get; 0 for none."""
    ours = {
        change.table
        for change in Journal(config.name).changes
        if isinstance(change, links.Unreachable)
    }
    return plans.choose_mark(
        config,
        protection,
        in_use=lambda mark: mark not in ours and links.table_in_use(mark),
        under_lockdown=lockdown.setting() is not None,
    )


def mtu_for(endpoints: Iterable[Endpoint], mark: int) -> int:
    """The tunnel's MTU in bytes, which fits the narrowest first link to an endpoint."""
    outer = [links.mtu_towards(endpoint.ip, mark) for endpoint in endpoints]
    narrowest = min((mtu for mtu in outer if mtu), default=_USUAL_LINK_MTU)
    # Only the loopback is above jumbo frames, and it says nothing about the path.
    outer_mtu = narrowest if narrowest <= _MAX_LINK_MTU else _USUAL_LINK_MTU
    return max(_MIN_MTU, outer_mtu - _OUTER_HEADERS)


def device_update(
    config: TunnelConfig, endpoints: Mapping[PublicKey, Endpoint], *, port: int | None, mark: int
) -> DeviceUpdate:
    """All settings of the engine; ``port`` counts if the file has none, or 0."""
    interface = config.interface
    return DeviceUpdate(
        private_key=interface.private_key,
        listen_port=interface.listen_port or port,
        fwmark=mark,
        replace_peers=True,
        peers=tuple(
            PeerUpdate(
                public_key=peer.public_key,
                preshared_key=peer.preshared_key or NO_PRESHARED_KEY,
                endpoint=endpoints.get(peer.public_key),
                persistent_keepalive=peer.persistent_keepalive,
                replace_allowed_ips=True,
                allowed_ips=tuple(AllowedIPChange(network) for network in peer.allowed_ips),
            )
            for peer in config.peers
        ),
    )


def _ask(wanted: set[EndpointName]) -> dict[EndpointName, Endpoint | str]:
    """Addresses by name, or the reason why there is none; late answers are missing."""
    answers: dict[EndpointName, Endpoint | str] = {}
    questions: queue.SimpleQueue[EndpointName] = queue.SimpleQueue()
    done: queue.SimpleQueue[None] = queue.SimpleQueue()

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                endpoint = questions.get_nowait()
                answers[endpoint] = _look_up(endpoint)
                done.put(None)

    for each in wanted:
        questions.put(each)
    # The resolver of the C library knows no deadline: a late lookup ends with our process.
    for _ in range(min(_RESOLVERS, len(wanted))):
        threading.Thread(target=work, daemon=True).start()
    deadline = time.monotonic() + _RESOLVE_DEADLINE
    with contextlib.suppress(queue.Empty):
        for _ in wanted:
            done.get(timeout=max(0.0, deadline - time.monotonic()))
    return answers.copy()


def _look_up(endpoint: EndpointName) -> Endpoint | str:
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        return getattr(error, "strerror", None) or "it is not a valid name"
    address = found[0][4]
    scope_id = address[3] if len(address) == 4 else 0
    return Endpoint(str(address[0]).partition("%")[0], int(address[1]), int(scope_id))


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:  # Debian's /etc/wireguard is for root alone
        raise PrivilegeError(
            f"{path.parent} may not be searched; run as root, or name a file by its path"
        ) from None
