# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The tunnels that are up or block, as programs read them: the schema of ``status --json``."""

from collections.abc import Iterable
from typing import Any

from fs_tunnel.cli.spending import told_of
from fs_tunnel.console.text import warn
from fs_tunnel.helper.client import HelperClient
from fs_tunnel.linux.journal.journal import Journal, journalled
from fs_tunnel.linux.routing.links import Unreachable
from fs_tunnel.observe.overview import has_session
from fs_tunnel.proto.crypto import public_key
from fs_wire import control, uapi
from fs_wire.errors import ControlError, NotRunningError
from fs_wire.types import PublicKey
from fs_wire.uapi import DeviceStatus, PeerStatus
from fs_wire.uapi_client import UapiClient

_OF_OUR_ENGINE = ("pid", "up", "mtu", "drops", "packet_path", "sandbox")
_NO_ENGINE: dict[str, Any] = {"public_key": None, "listen_port": 0, "fwmark": 0, "peers": []}
_NS_PER_S = 1_000_000_000


def find(wanted: str | None) -> list[dict[str, Any]]:
    """The tunnel of that name, or all; NotRunningError where there is none."""
    tunnels = [look(wanted)] if wanted else _all()
    if not tunnels:
        raise NotRunningError("no tunnel is up; start one with fs-tunnel up or serve")
    return tunnels


def _all() -> list[dict[str, Any]]:
    tunnels = []
    for name in _found():
        try:
            tunnels.append(look(name))
        except NotRunningError:
            pass  # it went down while we looked, or left its socket behind when it died
        except ControlError as error:
            # One engine that hangs does not hide the others.
            warn(str(error))
    return tunnels


def _found() -> list[str]:
    directory = uapi.socket_path("any").parent
    return sorted({path.stem for path in directory.glob("*.sock")} | set(journalled()))


def look(name: str) -> dict[str, Any]:
    """One tunnel as the JSON schema has it: no secret is in it.

    NotRunningError where it has no engine, and blocks nothing either.
    """
    journal = Journal(name)
    tunnel: dict[str, Any] = {
        "name": name,
        "role": journal.header.role if journal.header else None,
        "config": journal.header.source if journal.header else None,
    }
    is_ending = bool(tunnel["role"] == "up" and journal.header and journal.header.is_ending)
    try:
        device = UapiClient(name).get()
    except NotRunningError:
        if is_ending:
            return tunnel | {"state": "disconnecting", **_NO_ENGINE}
        if not any(isinstance(change, Unreachable) for change in journal.in_force()):
            raise
        return tunnel | {"state": "blocked", **_NO_ENGINE}
    tunnel |= {
        "state": "disconnecting" if is_ending else _state(tunnel["role"], device.peers),
        "public_key": _public_key(device),
        "listen_port": device.listen_port,
        "fwmark": device.fwmark,
        "peers": [
            {
                "public_key": peer.public_key.to_base64(),
                "has_preshared_key": peer.preshared_key is not None,
                "endpoint": str(peer.endpoint) if peer.endpoint else None,
                "allowed_ips": [str(network) for network in peer.allowed_ips],
                "latest_handshake": peer.last_handshake_ns / _NS_PER_S or None,
                "rx_bytes": peer.rx_bytes,
                "tx_bytes": peer.tx_bytes,
                "persistent_keepalive": peer.persistent_keepalive,
            }
            for peer in device.peers
        ],
    }
    helper = _helper(name)
    if (market := told_of(name, helper)) is not None:
        tunnel["market"] = market
    if failure := helper.get("resolver_failure"):
        tunnel["resolver"] = {"failure": failure}
    try:
        engine = control.status(name)
    except NotRunningError:
        return tunnel  # another implementation's engine
    tunnel |= {key: engine[key] for key in _OF_OUR_ENGINE}
    for peer in tunnel["peers"]:
        # It may have been added since we asked.
        known = engine["peers"].get(peer["public_key"], {})
        peer |= {key: known.get(key, 0) for key in ("rx_packets", "tx_packets", "credit_used")}
        peer["limits"] = known.get("limits")
    return tunnel


def _helper(name: str) -> dict[str, Any]:
    """What it says; nothing where it does not answer, for the engine goes on without."""
    try:
        return HelperClient(name).status()
    except (NotRunningError, ControlError):
        return {}


def _state(role: str | None, peers: Iterable[PeerStatus]) -> str | None:
    """Whether a client has a session; a provider, and an engine without a journal, has no state."""
    if role != "up":
        return None
    is_connected = has_session(peer.last_handshake_ns for peer in peers)
    return "connected" if is_connected else "connecting"


def _public_key(device: DeviceStatus) -> str | None:
    if device.private_key is None:
        return None
    return PublicKey(public_key(device.private_key.raw)).to_base64()
