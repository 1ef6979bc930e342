"""Every error that fs_net raises on purpose, below fs_tunnel's FlowShieldError.

FlowShieldError
└── NetError                    base of the rest                                  (exit 1)
    ├── Refused                 a stranger's bytes broke a rule; ``reason`` is counted
    ├── HostGone                the network process ended before it answered
    ├── HostTimeout             it, or a peer through it, did not answer in time
    ├── HostFailed              it tried and could not: no such peer, no route, no value
    └── StoreFailed             the database of a full node cannot be read or written
"""

from enum import StrEnum

from fs_wire.errors import FlowShieldError


class Reason(StrEnum):
    """Why something from the network was refused; the value stands in counters and logs."""

    OVERSIZED = "oversized"
    MALFORMED = "malformed"
    VERSION = "unknown version"
    RATE_LIMITED = "rate limited"
    BANNED = "sender is banned"
    FUTURE = "from the future"
    EXPIRED = "expired"
    STALE = "stale sequence"
    UNSTAKED = "no stake listed"
    OVERSOLD = "more slots than its stake covers"
    BAD_SIGNATURE = "bad signature"


class NetError(FlowShieldError):
    """Base of what goes wrong between nodes."""


class Refused(NetError):
    """A stranger's doing; ``reason`` is counted, the message goes into debug logs."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class HostGone(NetError):
    """The network process ended; it is started again, and the call may be repeated."""


class HostTimeout(NetError):
    """No answer within the call's deadline."""


class HostFailed(NetError):
    """The network process says that it could not."""


class StoreFailed(NetError):
    """What was to be written waits; what is in memory is served."""
