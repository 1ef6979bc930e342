# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The errors of bytes or keys that break WireGuard's rules.

FlowShieldError
└── ProtocolError               bytes or keys that break WireGuard's rules       (exit 1)
    ├── MalformedMessage        the remote side sent bytes of no valid shape
    ├── AuthenticationFailed    a MAC or tag of the remote side does not verify
    ├── ReplayDetected          a counter or timestamp of the remote side is not fresh
    └── SessionExpired          the local side may not use this keypair any more
"""

from fs_wire.errors import FlowShieldError


class ProtocolError(FlowShieldError):
    """Bytes or keys broke WireGuard's rules; they are dropped and counted, and never fatal."""


class MalformedMessage(ProtocolError):
    """Bytes from the network whose type, length or reserved field is wrong."""


class AuthenticationFailed(ProtocolError):
    """A MAC, tag or key from the network does not verify."""


class ReplayDetected(ProtocolError):
    """A counter or a timestamp from the network was seen before, or is too old."""


class SessionExpired(ProtocolError):
    """A keypair is too old, or has sealed too many messages, to be used."""
