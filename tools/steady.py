# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``make steady``: all tests again and again beside a busy load; the first failure ends it.

Each run's log stays in build/steady, and ``summary`` there has a line for each run.
"""

import argparse
import datetime
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "build" / "steady"
_LOAD = ("stress-ng", "--cpu", "2")
_TEST = (sys.executable, "-u", "-m", "pytest", "-q", "-rs", "--durations=20")


def main(argv: Sequence[str] | None = None) -> int:
    """Run all tests so many times: 0, or the status of the run that failed."""
    parser = argparse.ArgumentParser(prog="steady", description="Repeat all tests under load.")
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args(argv).runs
    if shutil.which(_LOAD[0]) is None:
        print("steady: stress-ng is missing; run: apt-get install stress-ng", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    first = 1 + len(list(FOLDER.glob("run-*.log")))
    with busy():
        for number in range(first, first + runs):
            log = FOLDER / f"run-{number:03}.log"
            status = run(log)
            if status != 0:
                print(f"steady: run {number} failed; see {log}", file=sys.stderr)
                return status
    return 0


def run(log: Path) -> int:
    """Run all tests once, and add a line to the summary."""
    began = datetime.datetime.now(tz=datetime.UTC)
    started = time.monotonic()
    with log.open("wb") as file:
        status = subprocess.run(
            _TEST, stdout=file, stderr=subprocess.STDOUT, check=False
        ).returncode
    said = log.read_text(errors="replace").splitlines()
    line = f"{began:%Y-%m-%d %H:%M} {log.stem} {time.monotonic() - started:.0f} s: {said[-1]}"
    print(line, flush=True)
    with (FOLDER / "summary").open("a") as file:
        file.write(line + "\n")
    return status


@contextmanager
def busy() -> Iterator[None]:
    """Processors are busy with something else."""
    with subprocess.Popen(_LOAD, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as load:
        try:
            yield
        finally:
            load.terminate()


if __name__ == "__main__":
    sys.exit(main())
