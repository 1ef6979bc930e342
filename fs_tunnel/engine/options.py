"""What a test, a debugger or a command may ask of an engine when it starts."""

import os
from dataclasses import dataclass
from pathlib import Path

from fs_tunnel.engine.pumps import threads_from_environment
from fs_wire.errors import UsageError


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What a test or a debugging session may ask of an engine."""

    clock_scale: float = 1.0  # how many protocol seconds pass in one second
    key_log: Path | None = None
    threads: int = 0  # of the native packet path; 0 is the path in Python
    is_confined: bool = True
    low_ports: bool = False  # whether a UDP port below 1024 may be asked for

    @classmethod
    def from_environment(cls) -> "EngineOptions":
        """Read the variables that are not for production, and so are no options of a command.

        FS_WG_CLOCK_SCALE speeds up the protocol's clock.  FS_WG_KEYLOG names a file for handshake
        secrets.  FS_WG_DATAPLANE and FS_WG_THREADS choose the packet path; see ``pumps``.
        FS_WG_SANDBOX=off leaves the process all that root may do, for debuggers and sanitizers.
        FS_WG_LOW_PORTS=1 leaves it the ports below 1024.  UsageError if a value makes no sense.
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
