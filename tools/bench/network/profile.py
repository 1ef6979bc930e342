# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Profile the network process while it carries heartbeats: a table of functions.

Run it as ``python -m tools.bench.network.profile``. It shows which part of the figure "carried"
py-libp2p takes, which is written in Python throughout.
"""

import asyncio
import pstats
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.net.world import NOW, Provider
from tools.bench.network import heartbeats

_ROWS = 12
_RUNNER = """
import cProfile, sys, time
from fs_net.host_process.__main__ import main
profile = cProfile.Profile(time.process_time)
try:
    profile.runcall(main, int(sys.argv[1]))
finally:
    profile.dump_stats({out!r})
"""


def main() -> None:
    """Run the measurement with the network process under cProfile."""
    with tempfile.TemporaryDirectory() as folder:
        out, runner = Path(folder, "stats"), Path(folder, "runner.py")
        runner.write_text(_RUNNER.format(out=str(out)))
        heartbeats.PEERS = 30
        providers = [Provider(number) for number in range(1, 30 * heartbeats.EACH + 1)]
        said = [each.heartbeat(NOW).raw for each in providers]
        parts = [
            said[first : first + heartbeats.EACH] for first in range(0, len(said), heartbeats.EACH)
        ]
        start = asyncio.create_subprocess_exec

        async def profiled(*arguments: str, **options: Any) -> asyncio.subprocess.Process:
            if "fs_net.host_process" in arguments:
                arguments = (sys.executable, str(runner), arguments[-1])
            return await start(*arguments, **options)

        asyncio.create_subprocess_exec = profiled  # type: ignore[assignment]
        asyncio.run(heartbeats._arrived(Path(folder), heartbeats.FullNode(providers), parts))
        print(table(pstats.Stats(str(out))))


def table(stats: Any) -> str:
    """Return the functions with the most time of their own, and each library's share."""
    rows, shares, whole = [], dict.fromkeys(("libp2p", "trio", "ours", "others"), 0.0), 0.0
    for (file, _, name), (_, calls, own, _, _) in stats.stats.items():
        if "'select.epoll'" in name or "epoll" in name:
            continue  # it only waits
        place = _place(file)
        rows.append((own, calls, name, Path(file).name if file != "~" else "C"))
        shares[place] += own
        whole += own
    rows.sort(reverse=True)
    lines = ["| own time | calls | function | in |", "|--:|--:|---|---|"]
    lines += [
        f"| {own / whole:.1%} | {calls} | `{name}` | {file} |"
        for own, calls, name, file in rows[:_ROWS]
    ]
    return "\n".join([*lines, "", *(f"{name}: {own / whole:.0%}" for name, own in shares.items())])


def _place(file: str) -> str:
    for name in ("libp2p", "trio"):
        if f"/site-packages/{name}/" in file:
            return name
    return "ours" if "/fs_net/" in file or "/fs_wire/" in file else "others"


if __name__ == "__main__":
    main()
