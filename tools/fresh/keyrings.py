# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The keys that sign a system's packages, if this machine has no package of them.

Some release of Debian has the package.  Apt fetches it from there, and Debian's own keys sign it.
"""

import subprocess
import tempfile
from pathlib import Path

from tools.fresh.systems import DEBIAN_KEYRING, SYSTEMS, System

_NEWEST_DEBIAN = SYSTEMS["debian13"]


def keyring_of(system: System, debian_mirror: str, folder: Path) -> Path | None:
    """Return the keyring of this machine, or else one that is kept in a folder."""
    kept = folder / system.keyring.name
    for path in (system.keyring, kept):
        if path.exists():
            return path
    line = f"deb {debian_mirror} {_NEWEST_DEBIAN.suite} main"
    is_there = debian_mirror and _fetch(system.keyring_package, system.keyring, line, kept)
    return kept if is_there else None


def _fetch(package: str, keyring: Path, line: str, to: Path) -> bool:
    """Unpack a keyring from a package, which is in the suite of a line for sources.list."""
    with tempfile.TemporaryDirectory(prefix="fresh-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "sources.list").write_text(
            line.replace("deb ", f"deb [signed-by={DEBIAN_KEYRING}] ", 1)
        )
        for part in ("lists/partial", "archives/partial"):
            (folder / part).mkdir(parents=True)
        apt = [
            *("apt-get", "-qq", "-o", f"Dir::Etc::sourcelist={folder}/sources.list"),
            *("-o", "Dir::Etc::sourceparts=-", "-o", f"Dir::State::lists={folder}/lists"),
            *("-o", f"Dir::Cache={folder}", "-o", "APT::Sandbox::User=root"),
        ]
        try:
            for command in ([*apt, "update"], [*apt, "download", package]):
                subprocess.run(command, cwd=folder, check=True, capture_output=True)
            [found] = folder.glob("*.deb")
            subprocess.run(["dpkg", "-x", str(found), "unpacked"], cwd=folder, check=True)
            content = (folder / "unpacked" / keyring.relative_to("/")).read_bytes()
        except (OSError, subprocess.CalledProcessError):
            return False
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(content)
        return True
