# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``make demo`` does what it says, and leaves nothing behind, also after Ctrl-C."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.topology import REPOSITORY, run
from tests.walks import at_length
from tools import demo
from tools.testing import patience

DEMO = (sys.executable, "-m", "tools.demo")
SECONDS = patience.seconds(240.0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not tmp_path: that of a long test name leaves too little of a socket's 107 characters."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o711)  # agents are nobody
        yield Path(made)


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        DEMO,
        cwd=REPOSITORY,
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left_behind(process: subprocess.Popen[str], folder: Path) -> list[str]:
    """Namespaces are named by the process that made them; all files are under TMPDIR."""
    namespaces = [line.split()[0] for line in run("ip", "netns", "list").splitlines()]
    mine = [name for name in namespaces if name[:-1].endswith(f"{process.pid:x}")]
    sockets = [str(path) for path in Path("/var/run/wireguard").glob("demo-*.sock")]
    return [*mine, *sockets, *map(str, folder.iterdir())]


@pytest.mark.netns
def test_it_ends_with_the_table(folder: Path) -> None:
    demo.PICTURE.unlink(missing_ok=True)
    process = start(folder)
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    words = " ".join(said.split())
    for row in (
        "seen by the full node",
        "found by the client 1 provider of 1 full node in",
        "price 0.5 FST/GiB",
        "its SHA-256",
        "throughput",
        "on the wire, anything else 0 frames",
        "bytes, counted by the client",
        "bytes, counted by the provider",
        "by both books and the chain",
        "refunded 0.9",
        "to open the channel",
    ):
        assert row in words
    assert demo.PICTURE.read_bytes().startswith(b"\x89PNG")
    assert left_behind(process, folder) == []


@pytest.mark.netns
@pytest.mark.parametrize("line", ["market list", *at_length("The provider", "downloaded.bin")])
def test_nothing_is_left_after_ctrl_c(folder: Path, line: str) -> None:
    """In the last of them, all stands that the demo ever has."""
    process = start(folder)
    assert process.stdout is not None
    for said in process.stdout:
        if line in said:
            break
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert left_behind(process, folder) == []


def test_without_root_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert demo.main() == 4
    said = capsys.readouterr()
    assert said.err == "demo: error: network namespaces need root; run: sudo make demo\n"
