# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``make install`` puts a program on a host that runs from there, and takes all of it out again."""

import os
import subprocess
from pathlib import Path

import pytest

from tools.testing import patience

REPOSITORY = Path(__file__).resolve().parents[2]


def install(destination: Path, *arguments: str) -> None:
    subprocess.run(
        [REPOSITORY / "tools" / "install", *arguments],
        env={**os.environ, "DESTDIR": str(destination)},
        check=True,
        timeout=patience.seconds(600),
    )


@pytest.mark.long
@pytest.mark.netns  # it needs root
def test_what_is_installed_runs_and_is_removed(tmp_path: Path) -> None:
    install(tmp_path)
    local = tmp_path / "usr" / "local"
    done = subprocess.run(
        [local / "bin" / "fs-tunnel", "--version"],
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=patience.seconds(60),
    )
    assert done.stdout.startswith("fs-tunnel, version ")
    units = sorted(local.glob("lib/systemd/system/*.service"))
    assert len(units) == 4
    for unit in units:
        assert "/usr/bin/fs-tunnel" not in unit.read_text()
    assert (local / "share" / "man" / "man5" / "market.toml.5").is_file()
    assert "fs-tunnel" in (local / "share/bash-completion/completions/fs-tunnel").read_text()
    install(tmp_path, "--remove")
    assert [path for path in tmp_path.rglob("*") if path.is_file() or path.is_symlink()] == []
