"""Where both sides of a session can be called, said by each under its signature.

A client says it first, and its provider answers; then both call.  A relay that passes it on can
withhold, and change nothing.
"""

from dataclasses import dataclass

from fs_market.core.wire.eip712 import Domain, struct_hash, type_hash
from fs_market.core.wire.ethereum import Address, keccak
from fs_market.core.wire.schema import U16, U48, Hash, Signature, to_bytes
from fs_market.core.wire.signatures import SigningKey, verify_untrusted
from fs_wire.schema import Endpoints

_MEETING_TYPE = type_hash("Meeting(bytes32 meeting)")


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where one side is seen from outside, as of now."""

    channel: Hash
    sequence: U48  # ms since the epoch: what is not above the last one is a replay
    endpoints: Endpoints  # of the tunnel's UDP socket
    mapping: U16  # what its NAT does; fs_net.core.punch.Mapping

    @property
    def digest(self) -> bytes:
        """32 bytes that name every field."""
        return keccak(to_bytes(self))


@dataclass(frozen=True, slots=True)
class Rendezvous:
    """Call me there, and say where you are: by the session key, or by the node of the quote."""

    meeting: Meeting
    signature: Signature

    @property
    def channel(self) -> bytes:
        return self.meeting.channel


def sign_meeting(key: SigningKey, domain: Domain, meeting: Meeting) -> Rendezvous:
    """A side's own word."""
    return Rendezvous(meeting, key.sign(_digest(domain, meeting)))


def verify_rendezvous_untrusted(said: Rendezvous, domain: Domain, signer: Address) -> None:
    """Refused (BAD_SIGNATURE) where it is not ``signer``'s."""
    verify_untrusted(_digest(domain, said.meeting), said.signature, signer)


def _digest(domain: Domain, meeting: Meeting) -> bytes:
    return domain.digest(struct_hash(_MEETING_TYPE, meeting.digest))
