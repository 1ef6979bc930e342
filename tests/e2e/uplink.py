# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The packets that left a client on its uplink."""

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether


def left(frames: list[bytes]) -> set[tuple[str, str, int]]:
    """Return the destinations of all packets, except those that keep the link alive."""
    found = set()
    for data in frames:
        packet = Ether(data)
        if IP not in packet:
            continue
        kind = "udp" if UDP in packet else "tcp" if TCP in packet else "other"
        found.add((str(packet[IP].dst), kind, int(packet[IP].payload.dport)))
    return found
