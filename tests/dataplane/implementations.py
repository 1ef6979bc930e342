# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""These packet paths are under test, and a test moves their packets by these operations."""

from collections.abc import Callable, Sequence
from typing import Protocol

from fs_tunnel.dataplane.native import NativePath
from fs_tunnel.dataplane.twin import Twin
from fs_tunnel.proto.path import LocalAddress, PacketPath
from fs_wire.types import Endpoint


class PumpedPath(PacketPath, Protocol):
    """A packet path whose packets a test moves by hand."""

    def receive_packet(self, packet: bytes, now: float) -> None: ...

    def receive_frame(self, frame: bytes, now: float) -> None: ...

    def receive_datagram(
        self, data: bytes, source: Endpoint, local: LocalAddress | None, now: float
    ) -> None: ...

    def take_datagrams(
        self,
    ) -> Sequence[tuple[int | None, Endpoint, LocalAddress | None, bytes]]: ...

    def take_frames(self) -> list[bytes]: ...


MakePath = Callable[[], PumpedPath]
IMPLEMENTATIONS: dict[str, MakePath] = {"twin": Twin, "native": NativePath}
