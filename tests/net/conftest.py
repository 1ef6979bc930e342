# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How the tests of the network start its processes."""

import pytest

from fs_net import host
from tests.net.launching import Forked
from tools.testing import commands


@pytest.fixture(autouse=True)
def _hosts_are_forked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host's process begins where its imports end; those of ``test_host`` are started in full."""
    if commands.keeper is not None and request.path.name != "test_host.py":
        monkeypatch.setattr(host, "Exec", Forked)
