# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Tells whether the provider of a tunnel is still there.

Only bytes that the engine authenticated count.  Nobody on the path can make such bytes, and a
provider that carries traffic is alive, however busy its agent may be.  The client also sends
keepalives to the payment port, so that an idle tunnel is never silent for long.
"""

LOOK_EVERY = 1.0  # seconds
SILENT_AFTER = 6.0  # seconds: three unanswered keepalives, or a handshake and its repetition
# Seconds between two looks: after a longer gap this host was asleep, and cannot tell who spoke.
_ASLEEP_AFTER = 3 * LOOK_EVERY


class Liveness:
    """Watches one provider, from the moment its tunnel was set up."""

    __slots__ = ("_heard", "_looked", "_received")

    def __init__(self, now: float) -> None:
        self._heard = self._looked = now
        self._received: int | None = None

    def look(self, received: int, now: float) -> None:
        """Note the total of bytes that the engine has received from the provider by ``now``."""
        if received != self._received or now - self._looked > _ASLEEP_AFTER:
            self._heard = now
        self._received, self._looked = received, now

    @property
    def silence(self) -> float:
        """Seconds between the provider's last bytes and the last look."""
        return self._looked - self._heard

    @property
    def is_lost(self) -> bool:
        """Whether the provider has been silent for too long."""
        return self.silence >= SILENT_AFTER
