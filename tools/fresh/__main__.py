# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``make fresh``: arguments in, a table and an exit status out."""

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tools.fresh import registries, systems
from tools.fresh.bare import PROGRAMS
from tools.fresh.report import exit_status, report
from tools.fresh.systems import SYSTEMS, System
from tools.fresh.walk import REPOSITORY, Plan, walk

COMMANDS = ("demo", "test")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NO_ROOT, INTERRUPTED = 4, 130
_FOLDER = Path("/var/tmp")  # noqa: S108 - a folder of our own is made in it
LOGS = REPOSITORY / "build" / "fresh"


def main(argv: Sequence[str] | None = None) -> int:
    """Run all; see ``--help`` for what the statuses mean."""
    options = _parser().parse_args(argv)
    if os.geteuid() != 0:
        return _refuse("a bare system needs root; run: sudo make fresh", NO_ROOT)
    missing = sorted({package for tool, package in PROGRAMS.items() if not shutil.which(tool)})
    if missing:
        return _refuse(f"something is missing here; run: apt-get install {' '.join(missing)}", 1)
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    LOGS.mkdir(parents=True, exist_ok=True)
    plan = _plan(options)
    try:
        results = [walk(system, plan) for system in options.systems or SYSTEMS.values()]
    except KeyboardInterrupt:
        return _refuse("interrupted; everything it made is removed", INTERRUPTED)
    print(f"\n{report(results, plan.commands)}\n\nlogs: {LOGS}")
    return exit_status(results, may_miss=options.allow_missing)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fresh",
        description="Clone the last commit on bare systems, and run the README's commands there.",
        epilog="It exits with 0 if all passed, with 1 if something failed, with 3 if a system is "
        "not to be had, with 4 without root.",
    )
    parser.add_argument(
        "systems",
        nargs="*",
        type=_system,
        metavar="SYSTEM",
        help=f"Default: all, {', '.join(SYSTEMS)}.",
    )
    parser.add_argument("--only", choices=COMMANDS, help="Run only this command.")
    parser.add_argument(
        "--test-args", default="", help="What pytest gets, to select some of the tests."
    )
    parser.add_argument(
        "--sudo", action="store_true", help="A user with a closed home clones, and types sudo."
    )
    parser.add_argument(
        "--mirror",
        action="append",
        default=[],
        type=_mirror,
        metavar="DISTRIBUTION=URL",
        help="Default: that of this machine's apt, or else debootstrap's own.",
    )
    parser.add_argument(
        "--allow-missing", action="store_true", help="Pass although a system is not to be had."
    )
    parser.add_argument("--keep", action="store_true", help="Keep the root folders.")
    parser.add_argument(
        "--folder", type=Path, default=_FOLDER, help=f"For the root folders; {_FOLDER}."
    )
    return parser


def _system(name: str) -> System:
    if name not in SYSTEMS:
        raise argparse.ArgumentTypeError(f"unknown system {name}; there are {', '.join(SYSTEMS)}")
    return SYSTEMS[name]


def _mirror(text: str) -> tuple[str, str]:
    distribution, _, url = text.partition("=")
    known = sorted({system.distribution for system in SYSTEMS.values()})
    if distribution not in known or not url:
        raise argparse.ArgumentTypeError(f"write {' or '.join(known)}, then =URL")
    return distribution, url


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        commands=(options.only,) if options.only else COMMANDS,
        test_args=options.test_args,
        is_with_sudo=options.sudo,
        is_kept=options.keep,
        folder=options.folder,
        logs=LOGS,
        mirrors=dict(options.mirror),
        files=registries.files(os.environ),
        sources=systems.machine_sources(),
        codename=systems.codename(),
    )


def _refuse(why: str, status: int) -> int:
    print(f"fresh: error: {why}", file=sys.stderr)
    return status


def _interrupt(*_: object) -> NoReturn:
    """Interrupt once; cleaning up is not to be interrupted."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
