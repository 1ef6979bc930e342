# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Tells a peer's timers which packets have passed in the packet path.

Theory of operation.  The packet path keeps the times of the latest packets (``Activity``), and it
tells only of the first packet after a silence.  From then on the peer looks at these times: at
once, before it acts on a deadline, and at the latest when the timer LOOK is due.  Every look moves
LOOK to KEEPALIVE_TIMEOUT after the latest packet seen.

A look fires the events that were missed, with the times at which they happened.  No deadline passes
unnoticed, because packets start only deadlines that are no nearer than the next look.  If LOOK is
due and no packet has moved it, there is silence again.
"""

from fs_tunnel.proto.path import PacketPath
from fs_tunnel.proto.timers import Event, PeerTimers


class Traffic:
    """Fires the events of one peer's packets at its timers.

    ``peer`` is its number in the packet path.
    """

    __slots__ = ("_path", "_peer", "_timers", "_seen")

    def __init__(self, path: PacketPath, peer: int, timers: PeerTimers) -> None:
        self._path = path
        self._peer = peer
        self._timers = timers
        self._seen = path.activity(peer)

    def look(self) -> None:
        """Fire the events of all packets that passed since the last look."""
        activity, seen, fire = self._path.activity(self._peer), self._seen, self._timers.fire
        if activity == seen:
            return
        self._seen = activity._replace(received_more=False)
        # An answer may have passed within the same tick of the clock as the packet before it.
        sent = activity.latest_sent != seen.latest_sent or (
            seen.unanswered_received not in (0.0, activity.unanswered_received)
        )
        received = activity.latest_received != seen.latest_received or (
            seen.unanswered_sent not in (0.0, activity.unanswered_sent)
        )
        if sent:
            fire(Event.AUTHENTICATED_PACKET_SENT, activity.latest_sent)
        if received:
            fire(Event.AUTHENTICATED_PACKET_RECEIVED, activity.latest_received)
        if sent or received:
            latest = max(activity.latest_sent, activity.latest_received)
            fire(Event.AUTHENTICATED_PACKET_TRAVERSED, latest)
        # Data is unanswered if it passed after every packet that could have answered it.
        if activity.unanswered_sent and (
            received or activity.unanswered_sent != seen.unanswered_sent
        ):
            fire(Event.DATA_SENT, activity.unanswered_sent)
        if activity.unanswered_received and (
            sent or activity.unanswered_received != seen.unanswered_received
        ):
            fire(Event.DATA_RECEIVED, activity.unanswered_received)
        # Further data that was answered needs no second keepalive; the Linux driver sends one.
        if self._path.take_received_more(self._peer) and activity.unanswered_received:
            fire(Event.DATA_RECEIVED, activity.latest_received)

    def await_next(self) -> None:
        """Let the packet path tell of the next packet: there is silence."""
        self._path.watch(self._peer)
        self.look()  # a packet may have passed just before

    def rearm(self) -> None:
        """Let the next data sent start NEW_HANDSHAKE again, which has fired."""
        self._path.rearm(self._peer)
        self._seen = self._seen._replace(unanswered_sent=0.0)

    def forget(self) -> None:
        """Forget what has passed until now: the timers were stopped."""
        self._path.watch(self._peer)
        self._path.take_received_more(self._peer)
        self._seen = self._path.activity(self._peer)
