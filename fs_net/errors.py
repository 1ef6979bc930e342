# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""All errors that fs_net raises on purpose, below ``fs_wire.errors.FlowShieldError``.

FlowShieldError
└── NetError                    base of all others                                (exit 1)
    ├── Refused                 a stranger's bytes broke a rule; ``reason`` is counted
    ├── HostGone                the network process ended before it answered
    ├── HostTimeout             the network process, or a peer, did not answer in time
    ├── HostFailed              the call failed: no such peer, no route, no value
    └── StoreFailed             the database of a full node cannot be read or written
"""

from enum import StrEnum

from fs_wire.errors import FlowShieldError


class Reason(StrEnum):
    """Why something from the network was refused; counters and logs show the value."""

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
    """Base of all errors between peers of the network."""


class Refused(NetError):
    """A stranger broke a rule; ``reason`` is counted, and the message goes to debug logs."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class HostGone(NetError):
    """The network process ended; it is started again, and the caller may repeat the call."""


class HostTimeout(NetError):
    """No answer came before the deadline of the call."""


class HostFailed(NetError):
    """The network process reports that the call failed."""


class StoreFailed(NetError):
    """The database failed; unwritten rows wait in memory, and the full node goes on serving."""
