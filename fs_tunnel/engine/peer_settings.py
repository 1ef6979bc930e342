# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Apply a UAPI update to the device, and describe the device in the words of UAPI."""

from fs_tunnel.proto.device import Device
from fs_tunnel.proto.peer import Peer
from fs_wire.types import NO_PRESHARED_KEY
from fs_wire.uapi import DeviceStatus, DeviceUpdate, PeerStatus, PeerUpdate


def apply_update(device: Device, update: DeviceUpdate, now: float) -> None:
    """Change identity and peers as ``update`` says, in the order of the UAPI's specification."""
    if update.remove_private_key:
        device.set_private_key(None)
    elif update.private_key is not None:
        device.set_private_key(update.private_key)
    if update.replace_peers:
        for peer in list(device.peers.values()):
            device.remove_peer(peer)
    for each in update.peers:
        _apply_peer(device, each, now)


def describe(device: Device, listen_port: int, fwmark: int) -> DeviceStatus:
    """The state of the device, for ``wg show`` and ``wg showconf``."""
    return DeviceStatus(
        private_key=device.private_key,
        listen_port=listen_port,
        fwmark=fwmark,
        peers=tuple(_describe_peer(device, peer) for peer in device.peers.values()),
    )


def _apply_peer(device: Device, update: PeerUpdate, now: float) -> None:
    peer = device.peers.get(update.public_key)
    if update.remove:
        if peer is not None:
            device.remove_peer(peer)
        return
    if peer is None:
        # We skip a peer with our own key, so that one list of peers serves a whole mesh.
        if update.update_only or update.public_key == device.public_key:
            return
        peer = device.add_peer(update.public_key)
    if update.preshared_key is not None:
        peer.preshared_key = update.preshared_key
    if update.endpoint is not None:
        peer.set_endpoint(update.endpoint)
    if update.replace_allowed_ips:
        device.disallow_all(peer)
    for change in update.allowed_ips:
        if change.remove:
            device.disallow(peer, change.network)
        else:
            device.allow(peer, change.network)
    if update.persistent_keepalive is not None:
        peer.set_persistent_keepalive(update.persistent_keepalive, now)


def _describe_peer(device: Device, peer: Peer) -> PeerStatus:
    preshared, counters = peer.preshared_key, peer.counters
    return PeerStatus(
        public_key=peer.public_key,
        preshared_key=None if preshared == NO_PRESHARED_KEY else preshared,
        endpoint=peer.endpoint,
        last_handshake_ns=peer.latest_handshake_ns,
        tx_bytes=counters.tx_bytes,
        rx_bytes=counters.rx_bytes,
        persistent_keepalive=peer.timers.persistent_keepalive,
        allowed_ips=tuple(device.allowed_ips.networks_of(peer)),
    )
