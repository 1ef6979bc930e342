# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The sessions of one peer, kept in step with the packet path and the table of indices.

``Sessions`` says which of three sessions is used.  The keyring puts this into effect: it tells the
packet path which keys to add, to use and to erase, and it frees the index of an erased session.
"""

from typing import Generic, TypeVar

from fs_tunnel.proto.handshake import SessionKeys
from fs_tunnel.proto.path import PathKeys
from fs_tunnel.proto.session import Session, Sessions
from fs_tunnel.proto.switch import Switch

P = TypeVar("P")


class Keyring(Generic[P]):
    """The sessions of ``owner``, whose number in the packet path is ``number``."""

    __slots__ = ("_owner", "_number", "_switch", "_sessions")

    def __init__(self, owner: P, number: int, switch: Switch[P]) -> None:
        self._owner = owner
        self._number = number
        self._switch = switch
        self._sessions = Sessions()

    @property
    def current(self) -> Session | None:
        """The session whose keys seal; None before the first handshake is complete."""
        return self._sessions.current

    @property
    def next(self) -> Session | None:
        """The session that we answered, and that the other side has not used yet."""
        return self._sessions.next

    def begin(self, keys: SessionKeys, now: float) -> None:
        """Begin the session that a handshake led to at ``now``.

        An initiator seals with its keys at once; a responder waits for ``confirm``.
        """
        session = Session(keys.local_index, keys.is_initiator)
        self._switch.indices.assign(keys.local_index, (self._owner, session))
        path_keys = PathKeys(
            keys.local_index,
            keys.remote_index,
            keys.sending,
            keys.receiving,
            keys.is_initiator,
            now,
        )
        self._switch.path.add_keys(self._number, path_keys, confirmed=keys.is_initiator)
        if keys.is_initiator:
            self._switch.path.use_keys(self._number, keys.local_index)
        self._free(self._sessions.begin_session(session))

    def confirm(self, local_index: int) -> bool:
        """Use the session of ``local_index``: the other side has proved that it has the keys.

        Return False if a younger session has taken its place since; that one stays in use.
        """
        session, current = self._sessions.next, self._sessions.current
        if session is None or session.local_index != local_index:
            # The packet path has already gone over to the session that was confirmed: undo that.
            if current is not None:
                self._switch.path.use_keys(self._number, current.local_index)
            return False
        fallen = self._sessions.confirm(session)
        self._switch.path.use_keys(self._number, local_index)
        self._free(fallen)
        return True

    def erase(self) -> None:
        """End every session and erase its keys."""
        self._free(self._sessions.clear())

    def _free(self, sessions: list[Session]) -> None:
        for session in sessions:
            self._switch.indices.free(session.local_index)
            self._switch.path.remove_keys(session.local_index)
