# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Run a program of the host from a list of arguments, without a shell, and check its status."""

import subprocess
from collections.abc import Sequence

from fs_wire.errors import SystemChangeError

_DEADLINE = 30.0  # seconds


def run(argv: Sequence[str], *, stdin: str = "") -> str:
    """Return what the program printed; SystemChangeError if it is missing or fails."""
    name = argv[0]
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=_DEADLINE, check=False
        )
    except FileNotFoundError:
        raise SystemChangeError(
            f"{name} is not installed; install the package that has it"
        ) from None
    except subprocess.TimeoutExpired:
        raise SystemChangeError(f"{name} did not end within {_DEADLINE:g} s; try again") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        reason = said[0] if said else f"exit status {done.returncode}"
        raise SystemChangeError(f"{' '.join(argv)}: {reason}")
    return done.stdout
