# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0
"""How much processes wait for a processor: whether a machine has room for one more scene."""

import re
import time
from pathlib import Path

_FILE = Path("/proc/pressure/cpu")
_PERIOD = 1.0  # s; a shorter look says little
_MUCH = 0.4


class Pressure:
    """The machine's pressure on its processors, of the last second or so."""

    def __init__(self) -> None:
        self._looked, self._waited = time.monotonic(), _waited()

    def has_room(self) -> bool:
        """Whether a process seldom had to wait since the last look; False until a second passed."""
        now = time.monotonic()
        passed = now - self._looked
        if passed < _PERIOD:
            return False
        waited = _waited()
        share = (waited - self._waited) / passed
        self._looked, self._waited = now, waited
        return share < _MUCH


def _waited() -> float:
    """For how many seconds some process has waited, since the start; 0 if the kernel is silent."""
    try:
        text = _FILE.read_text()
    except OSError:
        return 0.0
    found = re.search(r"^some .*total=(\d+)$", text, re.MULTILINE)
    return int(found[1]) / 1e6 if found else 0.0
