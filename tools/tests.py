"""``make test``: the tests that compute run beside those that wait.

Tests that start tunnels come one after the other, since they share the run directories of the host,
and spend most of their time waiting. What needs none of that has a process of its own, at a low
priority. What is given on the command line is for pytest, which then runs once.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

PYTEST = (sys.executable, "-m", "pytest", "-rs")
COMPUTING = tuple(f"tests/{name}" for name in ("fuzz", "market", "net", "proto", "wire"))
_NICENESS = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Run them: the first exit status of pytest that is no success, or 0."""
    given = sys.argv[1:] if argv is None else list(argv)
    if given:
        return subprocess.run([*PYTEST, *given], check=False).returncode
    waiting = [f"--ignore={folder}" for folder in COMPUTING]
    with tempfile.TemporaryFile() as output:
        beside = subprocess.Popen(
            ["nice", "-n", str(_NICENESS), *PYTEST, *COMPUTING],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            status = subprocess.run([*PYTEST, *waiting], check=False).returncode
            status = beside.wait() or status
        finally:
            beside.kill()
            beside.wait()
        output.seek(0)
        print(f"== beside: {' '.join(COMPUTING)}", flush=True)
        sys.stdout.buffer.write(output.read())
        sys.stdout.flush()
    return status


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parents[1])
    sys.exit(main())
