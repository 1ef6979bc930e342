# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``make soak``: repeat the tests of protocol and interop with new random choices.

Each round draws new hypothesis examples and meets other timings. A failure ends the soak, and
hypothesis prints how to reproduce it.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence

SUITES = ("tests/proto", "tests/interop")


def main(argv: Sequence[str] | None = None) -> int:
    """Run rounds until the time is up; return pytest's exit status of the last round."""
    parser = argparse.ArgumentParser(prog="soak", description="Repeat the tests.")
    parser.add_argument("--minutes", type=float, default=30.0)
    end = time.monotonic() + 60 * parser.parse_args(argv).minutes
    rounds = 0
    while time.monotonic() < end:
        rounds += 1
        left = (end - time.monotonic()) / 60
        print(f"== round {rounds}, {left:.0f} minutes left", flush=True)
        seed = ("--hypothesis-seed", str(time.time_ns()))
        command = [sys.executable, "-m", "pytest", "-q", "-x", *seed, *SUITES]
        status = subprocess.run(command, check=False).returncode
        if status != 0:
            print(f"soak: failed in round {rounds}", file=sys.stderr)
            return status
    print(f"soak: {rounds} rounds passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
