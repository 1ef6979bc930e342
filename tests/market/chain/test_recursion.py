# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""eth-account's libraries change the interpreter's recursion limit, and that is undone."""

import subprocess
import sys

import pytest

PROBE = """
import asyncio, sys, tempfile
from pathlib import Path
from fs_market.money import wallet
from fs_market.core.wire.ethereum import Address
from fs_market.chain.fees import Fees
from fs_market.chain.transactions import Call

SECRET = bytes(31) + b"x"

def keystore():
    wallet._SCRYPT_N = 2
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(wallet.create(Path(folder) / "wallet.json", SECRET, "password"))

def signature():
    call = Call(Address(bytes(20)), b"")
    wallet.Wallet(SECRET).sign_transaction(1, call, gas=21_000, nonce=0, fees=Fees(2, 1))

before = sys.getrecursionlimit()
{what}()
assert "py_ecc" in sys.modules, "nobody raises it: the guard can go"
assert sys.getrecursionlimit() == before
"""


@pytest.mark.parametrize("what", ["keystore", "signature"])
def test_deep_input_ends_in_an_error_as_before(what: str) -> None:
    subprocess.run([sys.executable, "-c", PROBE.replace("{what}", what)], check=True)
