# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The addresses at which each side of a session can be called, under its signature.

The client says its addresses first, and the provider answers with its own; then both call.  A
relay that passes these messages on can withhold them, but it cannot change them.
"""

from dataclasses import dataclass

from fs_market.core.wire.eip712 import Domain, struct_hash, type_hash
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.schema import U16, U48, Digested, Hash, Signature
from fs_market.core.wire.signatures import SigningKey, verify_untrusted
from fs_wire.schema import Endpoints

_MEETING_TYPE = type_hash("Meeting(bytes32 meeting)")


@dataclass(frozen=True, slots=True)
class Meeting(Digested):
    """The addresses under which others see one side of a session at this moment."""

    channel: Hash
    sequence: U48  # ms since the epoch; a value that is not above the last one is a replay
    endpoints: Endpoints  # of the tunnel's UDP socket
    mapping: U16  # the behaviour of its NAT: fs_net.core.punch.Mapping


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """One side says: call me there, and tell me your addresses.

    The client signs with the session key, the provider with the node key of the quote.
    """

    meeting: Meeting
    signature: Signature

    @property
    def channel(self) -> bytes:
        """The channel of the session: 32 bytes."""
        return self.meeting.channel


def sign_meeting(key: SigningKey, domain: Domain, meeting: Meeting) -> Rendezvous:
    """Sign the addresses of our own side."""
    return Rendezvous(meeting, key.sign(_digest(domain, meeting)))


def verify_rendezvous_untrusted(said: Rendezvous, domain: Domain, signer: Address) -> None:
    """Raise Refused (BAD_SIGNATURE) if ``signer`` did not sign it."""
    verify_untrusted(_digest(domain, said.meeting), said.signature, signer)


def _digest(domain: Domain, meeting: Meeting) -> bytes:
    return domain.digest(struct_hash(_MEETING_TYPE, meeting.digest))
