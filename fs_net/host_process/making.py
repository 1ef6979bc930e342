# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Makes the libp2p host: its protocols and its limits."""

from pathlib import Path
from typing import cast

from libp2p import new_host
from libp2p.crypto.x25519 import create_new_key_pair as create_new_x25519_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.network.config import ConnectionConfig
from libp2p.peer.peerstore import PeerStore
from libp2p.rcmgr.connection_limits import ConnectionLimits
from libp2p.rcmgr.manager import ResourceLimits, ResourceManager
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_ID
from multiaddr import Multiaddr

from fs_net.bridge import Settings
from fs_net.host_process import identity
from fs_net.host_process.local import dialable
from fs_net.host_process.yamux import BoundedYamux, bound_yamux
from fs_wire.patience import patient

_NEGOTIATED_WITHIN = patient(10.0)  # s for both sides to agree on a stream's protocol


def make_host(settings: Settings, folder: Path, peers: PeerStore) -> BasicHost:
    """Make a host that does not listen yet; raises what ``identity.load_identity`` raises."""
    most = settings.max_connections
    key_pair = identity.load_identity(folder)
    bound_yamux()
    return cast(
        BasicHost,
        new_host(
            key_pair=key_pair,
            peerstore_opt=peers,
            # The defaults also accept plain text, in which a peer can claim any identity.
            sec_opt={NOISE_ID: NoiseTransport(key_pair, create_new_x25519_key_pair().private_key)},
            listen_addrs=[Multiaddr(each) for each in settings.listen],
            enable_quic=any("/quic" in each for each in settings.listen),
            muxer_opt={TProtocol(YAMUX_ID): BoundedYamux},  # no Mplex, because it bounds nothing
            addrs_factory=dialable,
            # Both limits apply, and the default of each is about 250 connections.
            connection_config=ConnectionConfig(
                max_connections=most,
                min_connections=0,
                low_watermark=0,
                high_watermark=most,
                inbound_stream_protocol_negotiation_timeout=_NEGOTIATED_WITHIN,
                outbound_stream_protocol_negotiation_timeout=_NEGOTIATED_WITHIN,
            ),
            resource_manager=ResourceManager(
                limits=ResourceLimits(
                    max_connections=most,
                    max_memory_mb=settings.max_memory >> 20,
                    max_streams=16 * most,
                ),
                connection_limits=ConnectionLimits(
                    max_pending_inbound=256,
                    max_pending_outbound=64,
                    max_established_inbound=most,
                    max_established_outbound=most,
                    max_established_per_peer=4,
                    max_established_total=most,
                ),
            ),
        ),
    )
