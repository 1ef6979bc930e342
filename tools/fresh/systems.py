# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Which systems there are, where their packages come from, and the command that makes one.

A mirror comes from an option, or from this machine's apt, or else from debootstrap's own script.
"""

import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path("/usr/share/debootstrap/scripts")
_TARGETS = ("apt-get", "indextargets", "--format", "$(ORIGIN) $(RELEASE) $(REPO_URI)")
# What debootstrap says if a mirror does not have a suite, or cannot be reached.
_NO_SUITE = re.compile(r"^E: (.*(?:getting release file|Invalid Release file).*)$", re.MULTILINE)


@dataclass(frozen=True)
class System:
    """A release of a distribution."""

    name: str
    title: str
    distribution: str
    suite: str
    components: tuple[str, ...]
    pockets: tuple[str, ...]  # suites of the same mirror that a fresh installation has as well
    script: str  # debootstrap's script for a suite that is younger than debootstrap
    keyring: Path
    keyring_package: str


DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def _debian(number: int, suite: str) -> System:
    return System(
        name=f"debian{number}",
        title=f"Debian {number}",
        distribution="debian",
        suite=suite,
        components=("main",),
        pockets=("-updates",),
        script="sid",
        keyring=DEBIAN_KEYRING,
        keyring_package="debian-archive-keyring",
    )


_UBUNTU = System(
    name="ubuntu24.04",
    title="Ubuntu 24.04",
    distribution="ubuntu",
    suite="noble",
    components=("main", "universe"),
    pockets=("-updates", "-security"),
    script="gutsy",
    keyring=Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
    keyring_package="ubuntu-keyring",
)

SYSTEMS = {
    system.name: system for system in (_debian(12, "bookworm"), _debian(13, "trixie"), _UBUNTU)
}


@dataclass(frozen=True)
class Source:
    """One place from which this machine's apt gets packages."""

    distribution: str
    release: str
    uri: str


def codename() -> str:
    """Return the name of this machine's own release; empty if it has none."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "")


def machine_sources() -> list[Source]:
    """Ask this machine's apt; a machine without apt has none."""
    try:
        said = subprocess.run(_TARGETS, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return []
    return sources_of(said)


def sources_of(said: str) -> list[Source]:
    """Read what apt says; only what a bare system can reach as well counts."""
    rows = [line.split() for line in dict.fromkeys(said.splitlines())]
    return [
        Source(row[0].lower(), row[1], row[2].rstrip("/"))
        for row in rows
        if len(row) == 3 and row[2].startswith(("http://", "https://"))
    ]


def mirror_of(
    system: System, mirrors: Mapping[str, str], sources: Sequence[Source], codename: str
) -> str:
    """Return the mirror for debootstrap; if it is empty, debootstrap's script has one."""
    if system.distribution in mirrors:
        return mirrors[system.distribution].rstrip("/")
    own = [source for source in sources if source.distribution == system.distribution]
    return next((source.uri for source in own if source.release == codename), "")


def apt_lines(system: System, mirror: str, sources: Sequence[Source], codename: str) -> list[str]:
    """Return the lines of sources.list: the mirror's suites, and this machine's others."""
    found = [(mirror, f"{system.suite}{pocket}") for pocket in ("", *system.pockets)]
    for source in sources:
        suffix = source.release.removeprefix(codename)
        if source.distribution == system.distribution and suffix.startswith("-"):
            found.append((source.uri, f"{system.suite}{suffix}"))
    suites = {suite: uri for uri, suite in reversed(found)}
    components = " ".join(system.components)
    return [f"deb {uri} {suite} {components}" for suite, uri in sorted(suites.items())]


def debootstrap(system: System, mirror: str, keyring: Path, root: Path) -> list[str]:
    """Return the command that makes the system in a folder."""
    include = ["--include=ca-certificates"] if mirror.startswith("https:") else []
    script = system.suite if (SCRIPTS / system.suite).exists() else system.script
    return [
        *("debootstrap", "--variant=minbase", "--force-check-gpg", *include),
        f"--keyring={keyring}",
        f"--components={','.join(system.components)}",
        *(system.suite, str(root), mirror, script),
    ]


def why_missing(said: str) -> str | None:
    """Return why debootstrap could not have the suite; None if something else went wrong."""
    found = _NO_SUITE.search(said)
    return found[1] if found else None
