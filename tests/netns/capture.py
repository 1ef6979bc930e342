# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Capture the frames of a link, without the race of a sniffer that has not started yet.

The packet socket is bound when the constructor returns, so a capture misses nothing that is sent
later. A full buffer is an error instead of a gap. The kernel queues a frame here while the frame
passes the link. So a test that has seen the effect of a packet finds the packet in its next
reading. To show that something did not pass, a test sends another packet after it and waits for
that one.
"""

import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.netns.topology import Namespace
from tests.netns.waiting import wait_until

ETH_P_ALL = 0x0003
BUFFER_BYTES = 128 * 1024 * 1024
ETHERNET_HEADER = 14
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_LINKTYPE_ETHERNET, _LINKTYPE_RAW = 1, 101
_ARPHRD_NONE = 65534


@dataclass(frozen=True)
class Frame:
    """One frame of a link; ``data`` starts at the Ethernet header, or at the IP header on a TUN."""

    time_ns: int
    outgoing: bool
    data: bytes


@dataclass(frozen=True)
class UdpDatagram:
    """The UDP datagram of a frame."""

    source: tuple[str, int]
    destination: tuple[str, int]
    outgoing: bool
    payload: bytes


class Capture:
    """A capture of all frames of a link in both directions, from construction to :meth:`close`."""

    def __init__(self, namespace: Namespace, ifname: str) -> None:
        self._frames: list[Frame] = []
        self._ifname = ifname
        self._raw_ip = False
        self._socket = namespace.open_socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.setblocking(False)
        self._socket.bind((ifname, ETH_P_ALL))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def frames(self) -> list[Frame]:
        """Return every frame from the start up to this call."""
        self._drain()
        return list(self._frames)

    def packets(self) -> list[bytes]:
        """Return every IP packet from the start, without link headers."""
        return [_ip_of(frame, raw=self._raw_ip) for frame in self.frames() if frame.data]

    def udp(self) -> list[UdpDatagram]:
        """Return every UDP datagram from the start that is whole and has no extension header."""
        found = [_udp_of(frame, raw=self._raw_ip) for frame in self.frames()]
        return [datagram for datagram in found if datagram is not None]

    def write_pcap(self, path: Path) -> Path:
        """Write the captured frames as a pcap file that tshark and tcpdump read."""
        frames = self.frames()
        linktype = _LINKTYPE_RAW if self._raw_ip else _LINKTYPE_ETHERNET
        path.write_bytes(_pcap(frames, linktype))
        return path

    def wait_for(self, condition: Callable[[UdpDatagram], bool], *, what: str) -> UdpDatagram:
        """Return the first UDP datagram that fits; after the deadline, an error names ``what``."""
        found = wait_until(lambda: [each for each in self.udp() if condition(each)], what=what)
        return found[0]

    def close(self) -> None:
        self._socket.close()

    def _drain(self) -> None:
        while True:
            try:
                data, ancillary, _, address = self._socket.recvmsg(65535, socket.CMSG_SPACE(16))
            except BlockingIOError:
                break
            self._raw_ip = address[3] == _ARPHRD_NONE
            stamp = next((struct.unpack("qq", data) for _, _, data in ancillary), (0, 0))
            outgoing = address[2] == socket.PACKET_OUTGOING
            self._frames.append(Frame(stamp[0] * 10**9 + stamp[1], outgoing, data))
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        lost = struct.unpack("II", statistics)[1]
        if lost:
            raise AssertionError(f"the capture on {self._ifname} lost {lost} frames; enlarge it")


def _ip_of(frame: Frame, *, raw: bool) -> bytes:
    return frame.data if raw else frame.data[ETHERNET_HEADER:]


def _udp_of(frame: Frame, *, raw: bool) -> UdpDatagram | None:
    packet = _ip_of(frame, raw=raw)
    if not raw and frame.data[12:14] not in (b"\x08\x00", b"\x86\xdd"):
        return None
    version = packet[0] >> 4 if packet else 0
    if version == 4 and packet[9] == socket.IPPROTO_UDP:
        start = (packet[0] & 15) * 4
        family, source, destination = socket.AF_INET, packet[12:16], packet[16:20]
    elif version == 6 and packet[6] == socket.IPPROTO_UDP:
        start = 40
        family, source, destination = socket.AF_INET6, packet[8:24], packet[24:40]
    else:
        return None
    from_port, to_port, length = struct.unpack_from("!HHH", packet, start)
    return UdpDatagram(
        source=(socket.inet_ntop(family, source), from_port),
        destination=(socket.inet_ntop(family, destination), to_port),
        outgoing=frame.outgoing,
        payload=packet[start + 8 : start + length],
    )


def _pcap(frames: Sequence[Frame], linktype: int) -> bytes:
    """Encode frames as classic pcap with nanosecond stamps (draft-ietf-opsawg-pcap, section 4)."""
    parts = [struct.pack("=IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, linktype)]
    for frame in frames:
        seconds, nanoseconds = divmod(frame.time_ns, 10**9)
        size = len(frame.data)
        parts.append(struct.pack("=IIII", seconds, nanoseconds, size, size) + frame.data)
    return b"".join(parts)
