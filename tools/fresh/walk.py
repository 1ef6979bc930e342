# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""One system, from nothing to the last line of the last command."""

import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import IO

from tools.cgroup import NoCgroup
from tools.fresh import systems
from tools.fresh.bare import NAMESERVER, BareSystem, NotUp, Seen, booted, contained
from tools.fresh.keyrings import keyring_of
from tools.fresh.report import Outcome, Result
from tools.fresh.systems import SYSTEMS, System
from tools.terminal import Progress

REPOSITORY = Path(__file__).resolve().parents[2]
_PACKAGES = ("git", "make", "python3")
_USER = "somebody"
_BUNDLE = Path("srv/project.bundle")
_INSTALL = "apt-get -qq update && apt-get -qq install -y --no-install-recommends"
_SAID_BYTES = 4096  # at the end of a log, for its last line


@dataclass(frozen=True)
class Plan:
    """What all systems have in common."""

    commands: Sequence[str]
    test_args: str
    is_with_sudo: bool
    is_kept: bool
    folder: Path  # where root folders are made
    logs: Path
    mirrors: Mapping[str, str]
    files: Mapping[str, bytes]  # what a system knows about this machine's network
    sources: Sequence[systems.Source]
    codename: str  # of this machine


def walk(system: System, plan: Plan) -> Result:
    """Make the system, and run the commands in it."""
    result = Result(system.title)
    debian = systems.mirror_of(SYSTEMS["debian13"], plan.mirrors, plan.sources, plan.codename)
    keyring = keyring_of(system, debian, plan.logs / "keyrings")
    if keyring is None:
        result.missing = f"no {system.keyring.name}; apt-get install {system.keyring_package}"
        return result
    path = plan.logs / f"{system.name}.log"
    with path.open("wb") as log, _root_folder(system, plan) as root:
        steps = _Steps(system, path, result)
        try:
            if _make(system, plan, keyring, root, log, steps):
                with booted(root, log) as bare:
                    _run(bare, plan, steps)
        except (NotUp, NoCgroup) as error:
            result.broken = f"the system did not come up: {error}; see {path}"
    return result


@dataclass
class _Steps:
    """Steps of one system: each is shown while it runs."""

    system: System
    log: Path
    result: Result

    def do(self, what: str, step: Callable[[Seen], int]) -> Outcome:
        started = time.monotonic()
        with Progress(f"{self.system.title}: {what}") as progress:

            def seen() -> None:
                progress.show(f"{time.monotonic() - started:.0f} s: {_last_line(self.log)}"[:100])

            outcome = Outcome(step(seen), time.monotonic() - started)
            progress.show(str(outcome))
        return outcome

    def break_off(self, outcome: Outcome, what: str) -> bool:
        if outcome.status != 0:
            self.result.broken = f"{what} failed; see {self.log}"
        return outcome.status != 0


def _make(
    system: System, plan: Plan, keyring: Path, root: Path, log: IO[bytes], steps: _Steps
) -> bool:
    mirror = systems.mirror_of(system, plan.mirrors, plan.sources, plan.codename)
    command = systems.debootstrap(system, mirror, keyring, root)
    outcome = steps.do("debootstrap", partial(contained, command, log))
    if outcome.status != 0:
        steps.result.missing = systems.why_missing(steps.log.read_text(errors="replace")) or ""
        if not steps.result.missing:
            steps.break_off(outcome, "debootstrap")
        return False
    used = mirror or _mirror_in(root)
    lines = systems.apt_lines(system, used, plan.sources, plan.codename)
    bundle = root / _BUNDLE
    subprocess.run(
        ["git", "-C", str(REPOSITORY), "bundle", "create", "--quiet", str(bundle), "HEAD"],
        check=True,
    )
    own = {
        "etc/apt/sources.list": "".join(f"{line}\n" for line in lines).encode(),
        "etc/hostname": b"fresh\n",
        "etc/hosts": b"127.0.0.1 localhost fresh\n::1 localhost\n",
        "etc/resolv.conf": f"nameserver {NAMESERVER}\n".encode(),
    }
    for name, content in (own | dict(plan.files)).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
    return True


def _run(bare: BareSystem, plan: Plan, steps: _Steps) -> None:
    packages = [*_PACKAGES, *(["sudo"] if plan.is_with_sudo else [])]
    install = f"{_INSTALL} {' '.join(packages)}"
    if steps.break_off(steps.do("its packages", partial(bare.run, install)), "apt-get"):
        return
    user, prefix = ("root", "") if not plan.is_with_sudo else (_USER, "sudo ")
    if plan.is_with_sudo:
        add = (
            f"useradd -m -s /bin/bash {_USER} && chmod 700 /home/{_USER}"
            f" && echo '{_USER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{_USER}"
        )
        if steps.break_off(steps.do("a user", partial(bare.run, add)), "useradd"):
            return
    clone = f"stat -c '%n %a' . && git clone -q /{_BUNDLE} flowshield"
    if steps.break_off(steps.do("clone", partial(bare.run, clone, user=user)), "git clone"):
        return
    for name in plan.commands:
        args = [f"PYTEST_ARGS={plan.test_args}"] if name == "test" and plan.test_args else []
        command = f"cd flowshield && {prefix}{shlex.join(['make', name, *args])}"
        step = partial(bare.run, command, user=user)
        steps.result.outcomes[name] = steps.do(f"make {name}", step)


@contextmanager
def _root_folder(system: System, plan: Plan) -> Iterator[Path]:
    """A folder for the system; no mount in it outlasts the system's namespaces."""
    root = Path(mkdtemp(prefix=f"{system.name}-", dir=plan.folder))
    root.chmod(0o755)
    try:
        yield root
    finally:
        if plan.is_kept:
            print(f"  {system.title}: its root folder is {root}")
        else:
            subprocess.run(["rm", "-rf", "--one-file-system", str(root)], check=True)


def _mirror_in(root: Path) -> str:
    """Return the mirror that debootstrap chose."""
    return (root / "etc/apt/sources.list").read_text().split()[1].rstrip("/")


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _SAID_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "")
