# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A state directory for journals that no host has."""

from pathlib import Path

import pytest

from fs_tunnel.linux.journal import kinds
from tests.linux.journal.played import Host, Lasting, Setting, Thing


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of our own, and a host with one setting."""
    folder = tmp_path / "state"
    monkeypatch.setenv("FS_TUNNEL_STATE_DIR", str(folder))
    for kind in (Thing, Lasting, Setting):
        monkeypatch.setitem(kinds.KINDS, kind.__name__, kind)
    Host.settings, Host.log, Host.broken = {"mode": "old"}, [], set()
    return folder
