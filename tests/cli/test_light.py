# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Commands that need no library that takes long to import do not import it."""

import subprocess
import sys

PROBE = """
import contextlib, io, sys
from importlib import import_module
from pkgutil import walk_packages
import fs_tunnel.cli, fs_tunnel.console, fs_tunnel.roles
from fs_tunnel.cli.main import VERBS, cli
from fs_wire.errors import FlowShieldError

HEAVY = {
    *("aiohttp", "eth_abi", "eth_account", "eth_keyfile", "eth_tester", "eth_utils", "fastapi"),
    *("jinja2", "libp2p", "psycopg", "py_ecc", "pydantic", "pyroute2", "requests", "sqlalchemy"),
    *("starlette", "trio", "uvicorn", "web3"),
}

def look(what):
    if found := HEAVY & set(sys.modules):
        sys.exit(f"{what} imports {', '.join(sorted(found))}")

def run(*words):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(FlowShieldError):
        cli.main(words, standalone_mode=False)
    look(" ".join(words))

run("status")
for verb in VERBS:
    run(verb, "--help")
for package in (fs_tunnel.cli, fs_tunnel.console, fs_tunnel.roles):
    for module in walk_packages(package.__path__, f"{package.__name__}."):
        import_module(module.name)
        look(module.name)
assert "fs_tunnel.engine.engine" in sys.modules and "fs_market.chain.contracts" in sys.modules
"""


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
