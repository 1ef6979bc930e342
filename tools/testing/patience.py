# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How long tests, and the program in them, wait before they give up: for a slow or busy machine.

It bounds failures alone. A passing test goes on as soon as its condition holds.
"""

import os

FACTOR = float(os.environ.get("FS_TEST_PATIENCE", "6"))
# The program gives up earlier than its test, which can then say why.
os.environ.setdefault("FS_TUNNEL_PATIENCE", str(max(1.0, FACTOR / 2)))


def seconds(quiet: float) -> float:
    """The deadline of what takes less than ``quiet`` seconds on a quiet machine."""
    return quiet * FACTOR
