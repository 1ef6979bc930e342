# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Programs that are not installed: tools/setup unpacks them (requirements/apt-unpacked.txt)."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

_UNPACKED = Path(__file__).resolve().parent.parent / "build" / "apt"


def program(path: str) -> str:
    """Return the host's program, or the unpacked one; if there is none, root's test fails."""
    for candidate in (Path(path), _UNPACKED / path.lstrip("/")):
        if os.access(candidate, os.X_OK):
            return str(candidate)
    said = f"NOT TESTED: there is no {path}; run tools/setup, as root where it says so"
    if os.geteuid() == 0:
        pytest.fail(said, pytrace=False)
    pytest.skip(said)


def libraries() -> Mapping[str, str]:
    """The environment in which an unpacked program finds the libraries beside it."""
    found = {str(path.parent) for path in _UNPACKED.glob("usr/lib/**/*.so*")}
    return {"LD_LIBRARY_PATH": ":".join(sorted(found))} if found else {}
