# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How long the program waits for an answer before it gives up.

Each deadline is many times what an answer takes on a usual machine. A machine can be slower than
that, or busy with something else. Its user sets FS_TUNNEL_PATIENCE, and all these deadlines are so
many times as long. What the protocols themselves fix (a handshake's retry, a window, a heartbeat)
stays as it is.
"""

import os

_LEAST, _MOST = 1.0, 60.0


def _factor_untrusted(text: str) -> float:
    """Return the factor; anything that is no number from 1 to 60 counts as 1."""
    try:
        factor = float(text)
    except ValueError:
        return _LEAST
    return factor if _LEAST <= factor <= _MOST else _LEAST


_FACTOR = _factor_untrusted(os.environ.get("FS_TUNNEL_PATIENCE", ""))


def patient(seconds: float) -> float:
    """Return the deadline of what takes much less than ``seconds`` on a usual machine."""
    return seconds * _FACTOR
