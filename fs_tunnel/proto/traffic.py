"""What a peer's timers know of the packets that pass.

Theory of operation.  The packet path keeps the times of what passed (``Activity``), and tells only
of the first packet after a silence.  From then on somebody looks: at once, before a deadline is
acted upon, and at the latest when the timer LOOK is due, which every look moves to
KEEPALIVE_TIMEOUT after the latest packet seen.  A look applies to the timers what was missed, as of
when it happened.  No deadline is noticed late: all that packets start are at least as far away as
the next look.  Where LOOK is due and nothing has moved it, there is silence again.
"""

from fs_tunnel.proto.path import PacketPath
from fs_tunnel.proto.timers import Event, PeerTimers


class Traffic:
    """The packets of one peer, on their way to its timers."""

    __slots__ = ("_path", "_peer", "_timers", "_seen")

    def __init__(self, path: PacketPath, peer: int, timers: PeerTimers) -> None:
        self._path = path
        self._peer = peer
        self._timers = timers
        self._seen = path.activity(peer)

    def look(self) -> None:
        """Fire what happened since the last look."""
        activity, seen, fire = self._path.activity(self._peer), self._seen, self._timers.fire
        if activity == seen:
            return
        self._seen = activity._replace(received_more=False)
        # What answered may have come within the same tick of the clock as what came before.
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
        # Data is unanswered where it passed after all that could have answered it.
        if activity.unanswered_sent and (
            received or activity.unanswered_sent != seen.unanswered_sent
        ):
            fire(Event.DATA_SENT, activity.unanswered_sent)
        if activity.unanswered_received and (
            sent or activity.unanswered_received != seen.unanswered_received
        ):
            fire(Event.DATA_RECEIVED, activity.unanswered_received)
        # More that was answered needs no second keepalive; the Linux driver sends one.
        if self._path.take_received_more(self._peer) and activity.unanswered_received:
            fire(Event.DATA_RECEIVED, activity.latest_received)

    def await_next(self) -> None:
        """There is silence: let the path tell of the next packet."""
        self._path.watch(self._peer)
        self.look()  # for what came in between

    def rearm(self) -> None:
        """NEW_HANDSHAKE has fired: the next data sent starts it again."""
        self._path.rearm(self._peer)
        self._seen = self._seen._replace(unanswered_sent=0.0)

    def forget(self) -> None:
        """The timers were stopped: what passed until now is no concern of theirs."""
        self._path.watch(self._peer)
        self._path.take_received_more(self._peer)
        self._seen = self._path.activity(self._peer)
