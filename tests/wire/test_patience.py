# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""FS_TUNNEL_PATIENCE makes the program's deadlines longer, and nothing makes them shorter."""

import os
import subprocess
import sys

import pytest

PROBE = "from fs_net.host import DEADLINE; print(DEADLINE)"


@pytest.mark.parametrize(
    ("said", "deadline"),
    [
        *(("", 10.0), ("1", 10.0), ("2.5", 25.0), ("60", 600.0)),
        *(("0.1", 10.0), ("-3", 10.0), ("61", 10.0), ("nan", 10.0), ("inf", 10.0), ("long", 10.0)),
    ],
)
def test_a_factor_from_1_to_60_counts(said: str, deadline: float) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        env={**os.environ, "FS_TUNNEL_PATIENCE": said},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) == deadline
