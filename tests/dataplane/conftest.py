# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Every test that takes ``ends`` or ``make_path`` runs with each of the packet paths."""

import pytest

from tests.dataplane import build_under_test
from tests.dataplane.ends import ALICE, BOB, Ends, keys, new_end
from tests.dataplane.implementations import IMPLEMENTATIONS, MakePath

assert build_under_test  # the module has chosen the extension before the next import


@pytest.fixture(params=list(IMPLEMENTATIONS.values()), ids=list(IMPLEMENTATIONS))
def make_path(request: pytest.FixtureRequest) -> MakePath:
    made: MakePath = request.param
    return made


@pytest.fixture
def ends(make_path: MakePath) -> Ends:
    """Return Alice, who initiated, and Bob; they have a session and have sent nothing yet."""
    alice = new_end(make_path, ALICE, BOB, "10.0.0.2/32")
    bob = new_end(make_path, BOB, ALICE, "10.0.0.1/32")
    for end in (alice, bob):
        end.path.add_keys(end.peer, keys(1, is_alice=end is alice), confirmed=True)
        end.path.use_keys(end.peer, 1)
    return alice, bob
