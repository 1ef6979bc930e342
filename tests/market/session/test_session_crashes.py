# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""After a kill at any step of a session and a restart, books, engines and chain agree."""

import asyncio
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.market import parties
from tests.market.nodes import ANVIL_CHAIN_ID, REPOSITORY, anvil
from tests.walks import strides

SHARES = 2  # processes, which mostly wait for disks and for each other's retries


# Each commit and each sent message has two steps, and each received message has one.
@strides
@pytest.mark.parametrize(("victim", "least"), [("provider", 60), ("client", 50)])
def test_killed_at_every_step(victim: str, least: int, stride: int, tmp_path: Path) -> None:
    with ExitStack() as stack:
        shares = []
        for first in range(1, 1 + SHARES * stride, stride):
            node = stack.enter_context(anvil())
            folder = tmp_path / str(first)
            folder.mkdir()
            deployer = parties.new_wallet()
            node.fund(deployer.address)
            contracts = asyncio.run(
                parties.deployed(node.url, ANVIL_CHAIN_ID, deployer, folder / "deployer.journal")
            )
            command = [
                *(sys.executable, "-m", "tests.market.session_crashes"),
                *(victim, str(first), str(SHARES * stride), node.url),
                *(str(contracts.token), str(contracts.channels), str(folder)),
            ]
            share = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            shares.append(share)
            stack.callback(share.kill)
        for share in shares:
            said, errors = share.communicate()
            assert share.returncode == 0, errors
            assert int(said) >= least, errors
