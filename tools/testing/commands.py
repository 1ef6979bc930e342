# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Run the program's command lines in tests: by the scene's keeper, which has imported it all."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tools.testing import patience
from tools.testing.keeper import CommandLine, run

keeper: socket.socket | None = None  # of this process's scene; none where one is debugged

Done = subprocess.CompletedProcess[str]
PROGRAM = "fs_tunnel.cli.main"


def fs_tunnel(
    *arguments: str | Path,
    module: str = PROGRAM,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    network: str = "",
    stdin: str = "",
    is_forked: bool = True,
) -> Done:
    """Run ``fs-tunnel``, or another module, to its end, whatever its exit code.

    ``network`` is that of ``CommandLine``, ``env`` adds to our own environment. What looks at its
    own /proc/self/environ must not be forked: that is another's.
    """
    words = list(map(str, arguments))
    environment = {**os.environ, **(env or {})}
    seconds = patience.seconds(60)
    if keeper is not None and is_forked:
        command = CommandLine(module, words, environment, str(cwd or Path.cwd()), network)
        return run(keeper, command, stdin, seconds)
    inside = ["ip", "netns", "exec", network] if network else []
    if network.startswith("/"):
        inside = ["nsenter", f"--net={network}"]
    return subprocess.run(
        [*inside, sys.executable, "-m", module, *words],
        env=environment,
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
