# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Steps of tests of ``up``, ``serve`` and ``down``: other words in a file, and a dead engine."""

import os
import signal
import subprocess
from pathlib import Path

from tests.helper.asking import engine_pid
from tests.netns.served import Served, write_private
from tests.netns.topology import Namespace
from tests.netns.waiting import wait_until


def rewrite(conf: Path, old: str, new: str) -> None:
    """Replace words of a tunnel's file."""
    text = conf.read_text()
    assert old in text
    write_private(conf, text.replace(old, new).rstrip("\n"))


def start_foreground(
    scene: Served, where: Namespace, *arguments: str | Path, module: str = "fs_tunnel.cli.main"
) -> subprocess.Popen[bytes]:
    """Start a tunnel in the foreground; it is up when this returns."""
    process = where.start(
        *scene.command(*arguments, module=module),
        env=scene.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline().endswith(b" is up\n")
    return process


def kill_engine(scene: Served, where: Namespace, name: str) -> None:
    """Kill a tunnel's engine; its interface is gone when this returns."""
    os.kill(engine_pid(scene, name), signal.SIGKILL)
    wait_until(lambda: not where.has_link(name), what="the interface is gone")
