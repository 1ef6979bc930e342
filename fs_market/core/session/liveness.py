"""Whether the provider of a tunnel is still there.

What counts is what the engine authenticated: nobody on the path can make it, and a provider that
carries traffic is alive, however busy its agent may be.  Whoever looks also asks, by keepalives to
the payment port, so that an idle tunnel is never silent for long.
"""

LOOK_EVERY = 1.0  # seconds
SILENT_AFTER = 6.0  # seconds: three unanswered keepalives, or a handshake and its repetition
_ASLEEP_AFTER = 3 * LOOK_EVERY  # without a look: we slept, and do not know who spoke


class Liveness:
    """One provider, from the moment its tunnel was set up."""

    __slots__ = ("_heard", "_looked", "_received")

    def __init__(self, now: float) -> None:
        self._heard = self._looked = now
        self._received: int | None = None

    def look(self, received: int, now: float) -> None:
        """``received`` is how many bytes the engine has had of it in all, as of ``now``."""
        if received != self._received or now - self._looked > _ASLEEP_AFTER:
            self._heard = now
        self._received, self._looked = received, now

    @property
    def silence(self) -> float:
        """Seconds since it was heard, as of the last look."""
        return self._looked - self._heard

    @property
    def is_lost(self) -> bool:
        """Whether it has been silent for too long."""
        return self.silence >= SILENT_AFTER
