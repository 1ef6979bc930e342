# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The contracts: forge's own tests and invariants, gas against its snapshot, the artefacts."""

import os
import shutil
import subprocess

import pytest

from tests.walks import examples
from tools.testing.room import REPOSITORY

RUNS = {
    "FOUNDRY_FUZZ_RUNS": str(examples(128)),
    "FOUNDRY_INVARIANT_RUNS": str(examples(12)),
}


def test_forge_is_content_and_nothing_else_was_forgotten() -> None:
    """Run ``tools/contracts test``; without npm, users get a message and root's test fails."""
    if shutil.which("npm") is None and os.geteuid() != 0:
        pytest.skip("npm is not installed: the contracts were not looked at")
    done = subprocess.run(
        [REPOSITORY / "tools" / "contracts", "test"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **RUNS},
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    assert "0 failed" in done.stdout
