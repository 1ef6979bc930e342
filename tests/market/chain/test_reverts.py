# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A revert is explained by a process that cannot read the program's files any more."""

import subprocess
import sys

PROBE = """
import sys
from fs_market.chain.chain import Chain
from fs_market.core.wire.ethereum import keccak

Chain("http://127.0.0.1:1", 1, confirmations=1)
from fs_market.chain.rpc import explain

def audit(event, arguments):
    if event in ("open", "import", "os.listdir"):
        sys.exit(f"{event} {arguments[0]}")

sys.addaudithook(audit)
print(explain(keccak(b"Insufficient(uint256)")[:4] + (5).to_bytes(32, "big")))
"""


def test_it_is_explained_without_a_file() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Insufficient(5); the deposit holds no more")
