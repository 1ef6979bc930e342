# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The locks hold versions and hashes alone, and the apt list what the tests need."""

import configparser
import json
import re
from pathlib import Path

import pytest

from tests.conftest import NETNS_TOOLS

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
LOCKS = sorted(REQUIREMENTS.glob("*.txt"))
NPM_LOCKS = [
    REQUIREMENTS.parent / folder / "package-lock.json"
    for folder in ("contracts", "tests/net/interop", "tests/net/page")
]
LOCKS = [path for path in LOCKS if not path.name.startswith("apt")]


def pinned(lock: Path) -> dict[str, str]:
    """The requirements of a lock, by normalised name, each with all of its lines."""
    text = re.sub(r"^ *#.*\n", "", lock.read_text(), flags=re.MULTILINE)
    entries = re.split(r"\n(?=\S)", text.strip())
    return {re.split(r"[=;\s]", entry)[0].lower().replace("_", "-"): entry for entry in entries}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_package_has_one_version_and_a_hash(lock: Path) -> None:
    for name, entry in pinned(lock).items():
        assert re.match(r"[\w-]+==[\w.]+( ; [^\\]+)? \\\n", entry), name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), name


@pytest.mark.parametrize("lock", NPM_LOCKS, ids=lambda path: str(path.parent.name))
def test_npm_packages_have_one_too_and_no_place(lock: Path) -> None:
    """Nor does a lock of npm; what is linked lies in this repository."""
    packages = json.loads(lock.read_text())["packages"]
    del packages[""]
    for name, entry in packages.items():
        is_ours = entry.get("link") or name.endswith("not-there")
        assert is_ours or re.match(r"sha512-[\w+/]+=*$", entry["integrity"]), name
        assert "://" not in entry.get("resolved", ""), name


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_no_lock_names_a_place(lock: Path) -> None:
    """No index, host or path: where packages come from is the user's business."""
    place = r"://|--(extra-)?index|--find-links|^-e|^/|^\."
    assert not re.search(place, lock.read_text(), re.MULTILINE)


def test_the_lock_has_what_the_package_asks_for() -> None:
    setup = configparser.ConfigParser()
    setup.read(REQUIREMENTS.parent / "setup.cfg")
    wanted = setup["options"]["install_requires"].split("\n")
    for extra in ("dev", "network"):
        wanted += setup["options.extras_require"][extra].split("\n")
    names = {re.split(r"[ >=<\[]", line)[0].lower() for line in wanted if line}
    assert names - set(pinned(REQUIREMENTS / "lock.txt")) == set()


def test_the_apt_list_has_the_tools_of_the_tests() -> None:
    listed = re.sub(r"#.*", "", (REQUIREMENTS / "apt/test.txt").read_text()).split()
    assert set(NETNS_TOOLS.values()) - set(listed) == set()


def test_what_is_unpacked_is_not_installed() -> None:
    installed = re.sub(r"#.*", "", (REQUIREMENTS / "apt/test.txt").read_text()).split()
    lines = re.sub(r"#.*", "", (REQUIREMENTS / "apt-unpacked.txt").read_text()).splitlines()
    for program, *packages in (line.split() for line in lines if line.strip()):
        assert program.startswith("/")
        assert packages
        assert not set(packages) & set(installed)
