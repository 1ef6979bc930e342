"""What web3's libraries do to the interpreter's limit of recursion is undone."""

import subprocess
import sys

PROBE = """
import sys
before = sys.getrecursionlimit()
import fs_market.chain, fs_market.wallet
assert "py_ecc" in sys.modules, "nobody raises it: the guard can go"
assert sys.getrecursionlimit() == before
"""


def test_deep_input_ends_in_an_error_as_before() -> None:
    subprocess.run([sys.executable, "-c", PROBE], check=True)
