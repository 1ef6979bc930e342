# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Options of an engine at its start, for commands, tests and debuggers."""

import os
from dataclasses import dataclass
from pathlib import Path

from fs_tunnel.engine.pumps import threads_from_environment
from fs_wire.errors import UsageError


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The options of an engine."""

    clock_scale: float = 1.0  # protocol seconds in one second
    key_log: Path | None = None
    threads: int = 0  # threads of the native packet path; 0 is the path in Python
    is_confined: bool = True
    low_ports: bool = False  # whether the UDP port may be below 1024

    @classmethod
    def from_environment(cls) -> "EngineOptions":
        """Read the environment variables; they are not for production, so no command has them.

        FS_WG_CLOCK_SCALE speeds up the protocol's clock.  FS_WG_KEYLOG names a file for handshake
        secrets.  FS_WG_DATAPLANE and FS_WG_THREADS choose the packet path; see ``pumps``.
        FS_WG_SANDBOX=off leaves the process all of root's rights, for debuggers and sanitizers.
        FS_WG_LOW_PORTS=1 permits it the ports below 1024.  UsageError if a value makes no sense.
        """
        key_log = os.environ.get("FS_WG_KEYLOG")
        try:
            scale = float(os.environ.get("FS_WG_CLOCK_SCALE", "1"))
            if not 0 < scale < float("inf"):
                raise ValueError
        except ValueError:
            raise UsageError("FS_WG_CLOCK_SCALE is a positive number; unset it") from None
        return cls(
            scale,
            Path(key_log) if key_log else None,
            threads_from_environment(),
            is_confined=os.environ.get("FS_WG_SANDBOX") != "off",
            low_ports=os.environ.get("FS_WG_LOW_PORTS") == "1",
        )
