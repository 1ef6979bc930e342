# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The sessions of a peer, of which it has up to three, and how they take each other's place.

Source: WireGuard paper, section 6.2.  The rotation of the three is the Linux driver's.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Session:
    """What the control plane remembers of a keypair; the packet path has the keys."""

    local_index: int
    is_initiator: bool


class Sessions:
    """The previous, current and next session of one peer.

    A responder has a ``next`` session.  It becomes current when the first packet under it arrives,
    which proves that the initiator has its keys too.  Each method returns the sessions that fell
    out; the caller erases their keys and frees their indices.
    """

    __slots__ = ("previous", "current", "next")

    def __init__(self) -> None:
        self.previous: Session | None = None
        self.current: Session | None = None
        self.next: Session | None = None

    def begin_session(self, session: Session) -> list[Session]:
        """Take in the session that a handshake led to."""
        if session.is_initiator:
            # An unconfirmed ``next`` is younger than ``current``: keep it for packets on their way.
            kept, dropped = (
                (self.next, self.current) if self.next is not None else (self.current, None)
            )
            fallen = [dropped, self.previous]
            self.previous, self.current, self.next = kept, session, None
        else:
            fallen = [self.next, self.previous]
            self.previous, self.next = None, session
        return [each for each in fallen if each is not None]

    def confirm(self, session: Session) -> list[Session]:
        """Make ``session``, which must be ``next``, current: its first packet has come."""
        fallen = [self.previous] if self.previous is not None else []
        self.previous, self.current, self.next = self.current, session, None
        return fallen

    def clear(self) -> list[Session]:
        """Forget all sessions."""
        fallen = [each for each in (self.previous, self.current, self.next) if each is not None]
        self.previous = self.current = self.next = None
        return fallen
