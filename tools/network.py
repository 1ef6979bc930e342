# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A network for the demo: a full node, what its API shows, and a picture of its page."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.netns.topology import Namespace, python_module
from tests.netns.waiting import wait_until
from tools.stage import StepFailed
from tools.terminal import Progress

API = "127.0.0.1:8080"
PAGE = f"http://{API}/"
_PORT = 4001
_SEEN_SECONDS = 60.0


@dataclass(frozen=True)
class FullNode:
    """A running full node: ``address`` for other peers' ``bootstrap``, and its first output."""

    address: str
    said: list[str]


def command(address: str, settings: str) -> str:
    """Return the command as a user types it."""
    where = f"--listen /ip4/{address}/tcp/{_PORT} --folder full-node"
    return f"fs-tunnel fullnode --api {API} {where} --settings {settings}"


def start(internet: Namespace, typed: str, folder: Path, env: dict[str, str]) -> FullNode:
    """Run ``command`` until it listens; raises StepFailed if it ends before."""
    told = folder / "full-node.log"
    with open(told, "wb") as out:
        process = internet.start(
            *typed.split(), env=env, cwd=str(folder), stdout=out, stderr=subprocess.STDOUT
        )
    wait_until(
        lambda: "page: " in told.read_text() or process.poll() is not None,
        what="the full node listens",
        seconds=_SEEN_SECONDS,
    )
    said = told.read_text().splitlines()
    if process.poll() is not None:
        raise StepFailed(f"the full node ended with {process.returncode}: {' '.join(said)}")
    listens = next(line for line in said if line.startswith("listens: "))
    return FullNode(listens.removeprefix("listens: "), said)


def with_bootstrap(settings: Path, address: str, to: Path | None = None) -> None:
    """Write settings with a full node to connect to first."""
    to = to or settings
    to.write_text(f'{settings.read_text()}\n[network]\nbootstrap = ["{address}"]\n')


def wait_until_seen(internet: Namespace, country: str) -> float:
    """Wait until the full node shows a live provider in the country; return the seconds."""
    started = time.monotonic()
    with Progress("seen by the full node") as progress:

        def is_seen() -> bool:
            seconds = time.monotonic() - started
            live = _count_live(internet, country)
            progress.show(f"{live} live in {country} after {seconds:.1f} s")
            return live > 0

        wait_until(is_seen, what="the full node shows the provider", seconds=_SEEN_SECONDS)
    return time.monotonic() - started


def take_picture(internet: Namespace, folder: Path, env: dict[str, str], to: Path) -> None:
    """Take a picture of the page with a browser beside the full node; files are in ``folder``."""
    scratch = folder / "browser"
    scratch.mkdir()
    scratch.chmod(0o1777)  # Chromium runs as nobody
    to.parent.mkdir(exist_ok=True)
    internet.run(
        *python_module("tools.screenshot"),
        PAGE,
        str(to),
        "--whole",
        env={**env, "TMPDIR": str(scratch)},
    )


def _count_live(internet: Namespace, country: str) -> int:
    said = internet.run("curl", "-sS", f"{PAGE}api/v1/providers?country={country}")
    return sum(each["live"] is True for each in json.loads(said)["providers"])
