# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A full node's API with 10,000 live providers; wrk asks from another core."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.bench.figures import Sample

PROVIDERS = 10_000
CONNECTIONS = 32
_PAGE = "/api/v1/providers?country=DE&country=NL&max_per_gib=0.06&min_uptime=99&port=443&limit=50"
_PATIENCE = 120  # s
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
# Each request names another price, so each needs a new search.
_ANEW = """\
local count = 0
request = function()
  count = count + 1
  local path = string.format("%s&max_per_hour=0.%06d", wrk.path, 1000 + count)
  return wrk.format("GET", path)
end
"""


def measure(folder: Path, seconds: float) -> Sample:
    """Measure; raises AssertionError if an answer is an error."""
    script = folder / "anew.lua"
    script.write_text(_ANEW)
    with _node() as url:
        yield from _asked("api", url + _PAGE, seconds)
        yield from _asked("page", url + "/?country=DE&max_per_gib=0.06", seconds)
        yield from _asked("anew", url + _PAGE, seconds, "--script", str(script))


@contextmanager
def _node() -> Iterator[str]:
    """Start a full node and yield its URL; it has the first core alone if there are two."""
    first = min(os.sched_getaffinity(0))
    with subprocess.Popen(
        [
            *("taskset", "-c", str(first)),
            *(sys.executable, "-m", "tools.bench.network.api_node", str(PROVIDERS)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as node:
        try:
            assert node.stdin is not None
            assert node.stdout is not None
            url = node.stdout.readline().strip()
            assert url, "the full node did not start"
            yield url
            node.stdin.close()
            node.wait(_PATIENCE)
        finally:
            node.kill()


def _asked(name: str, url: str, seconds: float, *options: str) -> Sample:
    last = max(os.sched_getaffinity(0))
    done = subprocess.run(
        [
            *("taskset", "-c", str(last), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s"),
            *("--latency", "--timeout", "30s", *options, url),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=_PATIENCE,
    ).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done)
    slow = re.search(r"99%\s+([\d.]+)(us|ms|s)", done)
    assert rate, done
    assert slow, done
    assert "Non-2xx" not in done, done
    assert "Socket errors" not in done, done
    yield f"{name}_rate", float(rate[1])
    yield f"{name}_p99", float(slow[1]) * _UNITS[slow[2]]
