# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""After a kill at any step and a restart, books and chain agree."""

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from fs_market.chain.deploy import Deployed
from fs_market.core.wire.ethereum import Address
from fs_market.money.wallet import Wallet
from tests.market.chains import Dev
from tests.market.nodes import REPOSITORY
from tests.walks import strides


def _addresses(contracts: Deployed) -> list[Address]:
    return [getattr(contracts, each.name) for each in fields(contracts)]


# A commit and a sending have two steps each. These are the fewest steps of each scenario.
@pytest.mark.parametrize(
    ("scenario", "least"), [("settlement", 10), ("transfer", 30), ("staking", 30)]
)
@strides
def test_killed_at_every_step(
    scenario: str, least: int, stride: int, dev: Dev, tmp_path: Path
) -> None:
    secret = os.urandom(32)
    dev.fund(Wallet(secret).address)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.market.crashes", scenario, str(stride)),
            *(dev.url, str(dev.chain_id)),
            *map(str, _addresses(dev.contracts)),
            str(tmp_path),
        ],
        cwd=REPOSITORY,
        input=secret.hex(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > least
