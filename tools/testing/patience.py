# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How long a test waits before it gives up: the one factor for a slow or busy machine.

It bounds failures alone. A passing test goes on as soon as its condition holds.
"""

import os

FACTOR = float(os.environ.get("FS_TEST_PATIENCE", "6"))


def seconds(quiet: float) -> float:
    """The deadline of what takes less than ``quiet`` seconds on a quiet machine."""
    return quiet * FACTOR
