# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The locks hold versions and hashes alone, and the apt list what the tests need."""

import configparser
import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import NETNS_TOOLS

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
LOCKS = sorted(REQUIREMENTS.glob("*.txt"))
NPM_LOCKS = [
    REQUIREMENTS.parent / folder / "package-lock.json"
    for folder in ("contracts", "tests/net/interop", "tests/net/page")
]
APT = REQUIREMENTS / "apt"
# What each make target brings: lists of apt packages, see tools/setup and tools/install.
TARGETS = {
    "install": ("install",),
    "demo": ("install", "demo"),
    "test": ("install", "demo", "test"),
    "lint": ("install", "lint"),
    "bench": ("install", "demo", "bench"),
    "fresh": ("install", "fresh"),
}


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
    """Nor does a lock of npm; a package without a hash is one that no machine installs."""
    packages = json.loads(lock.read_text())["packages"]
    del packages[""]
    for name, entry in packages.items():
        is_never_installed = entry.get("optional") and entry.get("os") == ["none"]
        assert is_never_installed or re.match(r"sha512-[\w+/]+=*$", entry["integrity"]), name
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


def listed(*names: str) -> list[str]:
    """The packages of these lists."""
    text = "".join((APT / f"{name}.txt").read_text() for name in names)
    return re.sub(r"#.*|\[\w+\]|<!\w+>|\(\w+\)", "", text).split()


@pytest.mark.parametrize("name", ["install", "demo"])
def test_a_smaller_lock_is_a_part_of_the_whole(name: str) -> None:
    whole, part = pinned(REQUIREMENTS / "lock.txt"), pinned(REQUIREMENTS / f"{name}.txt")
    for each, entry in part.items():
        assert entry.splitlines()[0] == whole[each].splitlines()[0]
        assert hashes(entry) == hashes(whole[each])


def hashes(entry: str) -> list[str]:
    return re.findall("sha256:[0-9a-f]{64}", entry)


def test_a_user_gets_no_tool_of_a_developer() -> None:
    installed = set(pinned(REQUIREMENTS / "install.txt"))
    assert not installed & {"mypy", "playwright", "pytest", "ruff", "scapy", "hypothesis"}
    assert set(listed("install")) == {
        *("dnsmasq-base", "gcc", "iproute2", "libc6-dev", "libgmp-dev", "libipsec-mb-dev"),
        *("libseccomp2", "libssl-dev", "nftables"),
    }


def test_the_apt_lists_have_the_tools_of_the_tests() -> None:
    assert set(NETNS_TOOLS.values()) - set(listed(*TARGETS["test"])) == set()


@pytest.mark.parametrize("target", TARGETS)
def test_no_target_lists_a_package_twice(target: str) -> None:
    found = listed(*TARGETS[target])
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("package", "targets"),
    [
        ("chromium", {"demo", "test", "bench"}),
        ("postgresql", {"test", "bench"}),
        ("openvpn", {"bench"}),
        ("nebula", {"bench"}),
        ("nodejs", {"test", "lint"}),
    ],
)
def test_what_is_heavy_comes_only_with_what_needs_it(package: str, targets: set[str]) -> None:
    assert {each for each, lists in TARGETS.items() if package in listed(*lists)} == targets


_BARE = """
. tools/packages.sh
distribution() { echo "$0"; }
dpkg() { echo amd64; }
dpkg-query() { :; }
python=/opt/python
missing_apt_packages install demo
"""


@pytest.mark.parametrize(
    ("distribution", "left_out"),
    [("debian", set()), ("ubuntu", {"chromium", "chromium-sandbox"})],
)
def test_a_bare_system_gets_what_its_distribution_has(
    distribution: str, left_out: set[str]
) -> None:
    said = subprocess.run(
        ["bash", "-ec", _BARE, distribution],
        cwd=REQUIREMENTS.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(said.stdout.split()) == set(listed("install", "demo")) - left_out


def test_what_is_unpacked_is_not_installed() -> None:
    installed = set(listed(*TARGETS["test"]))
    lines = re.sub(r"#.*", "", (APT / "unpacked.txt").read_text()).splitlines()
    for program, *packages in (line.split() for line in lines if line.strip()):
        assert program.startswith("/")
        assert packages
        assert not set(packages) & installed
