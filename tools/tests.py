"""``make test``: three groups of tests side by side, for most of their time is waiting.

Tunnels have their sockets and journals in run directories of the host, which list all of them. So
each group that starts tunnels has such directories of its own, in a mount namespace; what needs
no tunnel has the rest of the processors, at a low priority. What is given on the command line is
for pytest, which then runs once, where it is.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

PYTEST = (sys.executable, "-u", "-m", "pytest", "-rsR", "--durations=15", "--durations-min=5")
COMPUTING = tuple(f"tests/{name}" for name in ("fuzz", "market", "net", "proto", "wire"))
WATCHING = tuple(f"tests/{name}" for name in ("dataplane", "e2e", "interop", "leaks"))
OWN_DIRECTORIES = ("/run/fs-tunnel", "/run/netns", "/run/wireguard", "/var/lib/fs-tunnel")
_NICENESS = ("nice", "-n", "5")
_MOUNT = (
    'for each in %s; do mkdir -p "$each" && mount -t tmpfs tmpfs "$each" || exit; done; exec "$@"'
)


@dataclass
class Group:
    """A run of pytest; what it prints is shown whole when it ended."""

    name: str
    command: Sequence[str]
    output: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    def __enter__(self) -> "Group":
        self.started = time.monotonic()
        self.process = subprocess.Popen(self.command, stdout=self.output, stderr=subprocess.STDOUT)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.output.close()

    def finish(self) -> int:
        """Wait for its end, show it, and return its exit status."""
        status = self.process.wait()
        self.output.seek(0)
        print(f"== {self.name}", flush=True)
        sys.stdout.buffer.write(self.output.read())
        sys.stdout.flush()
        return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run them: the first exit status of pytest that is no success, or 0."""
    given = sys.argv[1:] if argv is None else list(argv)
    if given:
        return subprocess.run([*PYTEST, *given], check=False).returncode
    others = [f"--ignore={folder}" for folder in (*COMPUTING, *WATCHING)]
    with ExitStack() as stack:
        beside = [
            stack.enter_context(Group(" ".join(folders), command))
            for folders, command in (
                (WATCHING, apart([*PYTEST, *WATCHING])),
                (COMPUTING, [*_NICENESS, *PYTEST, *COMPUTING]),
            )
        ]
        print("== all but what runs beside", flush=True)
        status = subprocess.run(apart([*PYTEST, *others]), check=False).returncode
        for group in beside:
            status = group.finish() or status
    return status


def apart(command: Sequence[str]) -> list[str]:
    """The command with run directories of its own; only root can, and only root starts tunnels."""
    if os.geteuid() != 0:
        return list(command)
    script = _MOUNT % " ".join(OWN_DIRECTORIES)
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *command]


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parents[1])
    sys.exit(main())
