"""What may be wrong with bytes or keys under WireGuard's rules.

FlowShieldError
└── ProtocolError               bytes or keys that break WireGuard's rules       (exit 1)
    ├── MalformedMessage        the remote side sent bytes of no valid shape
    ├── AuthenticationFailed    a MAC or tag of the remote side does not verify
    ├── ReplayDetected          a counter or timestamp of the remote side is not fresh
    └── SessionExpired          the local side may not use this keypair any more
"""

from fs_wire.errors import FlowShieldError


class ProtocolError(FlowShieldError):
    """Something broke WireGuard's rules; it is dropped and counted, never fatal."""


class MalformedMessage(ProtocolError):
    """Bytes from the network whose type, length or reserved field is wrong."""


class AuthenticationFailed(ProtocolError):
    """A MAC, tag or key from the network does not verify."""


class ReplayDetected(ProtocolError):
    """A counter or a timestamp from the network was seen before, or is too old."""


class SessionExpired(ProtocolError):
    """A keypair passed its age or message limit and may not be used."""
