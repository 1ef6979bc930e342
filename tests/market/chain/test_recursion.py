# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""eth-keyfile's libraries change the interpreter's recursion limit, and that is undone."""

import subprocess
import sys

PROBE = """
import asyncio, sys, tempfile
from pathlib import Path
from fs_market.money import wallet

wallet._SCRYPT_N = 2
before = sys.getrecursionlimit()
with tempfile.TemporaryDirectory() as folder:
    asyncio.run(wallet.create(Path(folder) / "wallet.json", bytes(31) + b"x", "password"))
assert "py_ecc" in sys.modules, "nobody raises it: the guard can go"
assert sys.getrecursionlimit() == before
"""


def test_deep_input_ends_in_an_error_as_before() -> None:
    subprocess.run([sys.executable, "-c", PROBE], check=True)
