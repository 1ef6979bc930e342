# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What `make fresh` makes of its arguments, of this machine and of its results; no system is made.

`make test-long` makes the systems.
"""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tools.fresh import __main__, registries, systems, walk
from tools.fresh.report import Outcome, Result, exit_status, report
from tools.fresh.systems import SYSTEMS, Source

BOOKWORM, TRIXIE, NOBLE = SYSTEMS["debian12"], SYSTEMS["debian13"], SYSTEMS["ubuntu24.04"]
APT = """\
Debian bookworm http://mirror.example/debian/
Debian bookworm http://mirror.example/debian/
Debian bookworm-updates http://mirror.example/debian/
Debian bookworm-security http://mirror.example/security/
Debian bookworm file:/srv/debian/
Other bookworm http://other.example/
 bookworm http://unknown.example/
"""
SOURCES = [
    Source("debian", "bookworm", "http://mirror.example/debian"),
    Source("debian", "bookworm-updates", "http://mirror.example/debian"),
    Source("debian", "bookworm-security", "http://mirror.example/security"),
    Source("other", "bookworm", "http://other.example"),
]
KEYRING = Path("/keys.gpg")
GOOD, BAD = Outcome(0, 61.4), Outcome(2, 7.0)


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, walk.Plan]]:
    """Stands in for all that a run does to the machine, and keeps what was asked for."""
    asked: list[tuple[str, walk.Plan]] = []

    def passed(system: systems.System, plan: walk.Plan) -> Result:
        asked.append((system.name, plan))
        return Result(system.title, outcomes=dict.fromkeys(plan.commands, GOOD))

    monkeypatch.setattr(__main__, "walk", passed)
    monkeypatch.setattr(__main__, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(__main__, "PROGRAMS", {})
    monkeypatch.setattr(registries, "files", lambda _environment: {})
    monkeypatch.setattr(systems, "machine_sources", list)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return asked


# Arguments.


def test_all_systems_run_both_commands(
    walked: list[tuple[str, walk.Plan]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main([]) == 0
    assert [name for name, _ in walked] == ["debian12", "debian13", "ubuntu24.04"]
    assert {plan.commands for _, plan in walked} == {("demo", "test")}
    assert "Debian 13     passed, 61 s  passed, 61 s" in capsys.readouterr().out


def test_systems_commands_and_mirrors_can_be_chosen(walked: list[tuple[str, walk.Plan]]) -> None:
    mirror = "--mirror=ubuntu=http://mirror.example/ubuntu"
    assert __main__.main(["debian13", "--only", "test", "--test-args=-k x", mirror]) == 0
    [(name, plan)] = walked
    assert (name, plan.commands, plan.test_args) == ("debian13", ("test",), "-k x")
    assert plan.mirrors == {"ubuntu": "http://mirror.example/ubuntu"}


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("debian11", "unknown system debian11; there are debian12, debian13, ubuntu24.04"),
        ("--mirror=http://mirror.example", "write debian or ubuntu, then =URL"),
        ("--mirror=ubuntu=", "write debian or ubuntu, then =URL"),
    ],
)
def test_a_wrong_argument_is_told(
    argument: str,
    said: str,
    walked: list[tuple[str, walk.Plan]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        __main__.main([argument])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not walked


def test_it_needs_root_and_its_programs(
    walked: list[tuple[str, walk.Plan]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(__main__, "PROGRAMS", {"no-such-program": "its-package"})
    assert __main__.main([]) == 1
    assert "apt-get install its-package" in capsys.readouterr().err
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert __main__.main([]) == 4
    assert "sudo make fresh" in capsys.readouterr().err
    assert not walked


# Results.


def test_the_table_has_a_line_for_each_system() -> None:
    results = [
        Result("Debian 12", outcomes={"demo": GOOD, "test": BAD}),
        Result("Debian 13", broken="apt-get failed; see its.log", outcomes={"demo": GOOD}),
        Result("Ubuntu 24.04", missing="no keyring"),
    ]
    assert report(results, ("demo", "test")).splitlines() == [
        "system        demo           test             note",
        "------------  -------------  ---------------  ---------------------------",
        "Debian 12     passed, 61 s   failed (2), 7 s",
        "Debian 13     passed, 61 s   -                apt-get failed; see its.log",
        "Ubuntu 24.04  not to be had  not to be had    no keyring",
    ]


@pytest.mark.parametrize(
    ("results", "strict", "lenient"),
    [
        ([Result("a", outcomes={"demo": GOOD})], 0, 0),
        ([Result("a", outcomes={"demo": GOOD, "test": BAD})], 1, 1),
        ([Result("a", broken="why")], 1, 1),
        ([Result("a", outcomes={"demo": GOOD}), Result("b", missing="why")], 3, 0),
        ([Result("a", outcomes={"demo": BAD}), Result("b", missing="why")], 1, 1),
        ([Result("b", missing="why")], 3, 3),  # nothing was tested
    ],
)
def test_the_exit_status_says_what_was_wrong(
    results: list[Result], strict: int, lenient: int
) -> None:
    assert exit_status(results, may_miss=False) == strict
    assert exit_status(results, may_miss=True) == lenient


# Mirrors.


def test_sources_are_what_a_bare_system_can_reach() -> None:
    assert systems.sources_of(APT) == SOURCES


def test_a_mirror_comes_from_an_option_or_the_machine_or_debootstrap() -> None:
    given = {"debian": "http://given.example/debian/"}
    assert systems.mirror_of(TRIXIE, given, SOURCES, "bookworm") == "http://given.example/debian"
    assert systems.mirror_of(TRIXIE, {}, SOURCES, "bookworm") == "http://mirror.example/debian"
    assert systems.mirror_of(NOBLE, given, SOURCES, "bookworm") == ""


def test_a_system_has_the_suites_of_a_fresh_installation() -> None:
    mirror = "http://mirror.example/debian"
    assert systems.apt_lines(TRIXIE, mirror, SOURCES, "bookworm") == [
        "deb http://mirror.example/debian trixie main",
        "deb http://mirror.example/security trixie-security main",
        "deb http://mirror.example/debian trixie-updates main",
    ]
    assert systems.apt_lines(NOBLE, "http://u.example", SOURCES, "bookworm") == [
        "deb http://u.example noble main universe",
        "deb http://u.example noble-security main universe",
        "deb http://u.example noble-updates main universe",
    ]


def test_signatures_are_checked_and_young_suites_have_a_script(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(systems, "SCRIPTS", tmp_path)
    (tmp_path / "bookworm").touch()
    old = systems.debootstrap(BOOKWORM, "http://m.example", KEYRING, Path("/root"))
    assert old[-4:] == ["bookworm", "/root", "http://m.example", "bookworm"]
    young = systems.debootstrap(NOBLE, "https://m.example", KEYRING, Path("/root"))
    assert young[-4:] == ["noble", "/root", "https://m.example", "gutsy"]
    assert {"--force-check-gpg", "--keyring=/keys.gpg"} < set(old)
    assert "--include=ca-certificates" in young


def test_only_a_suite_that_is_not_there_is_not_to_be_had() -> None:
    gone = "I: Retrieving Release \nE: Failed getting release file http://m.example/Release\n"
    assert systems.why_missing(gone) == "Failed getting release file http://m.example/Release"
    assert systems.why_missing("E: Couldn't download packages: bash\n") is None


def test_a_system_without_a_keyring_is_not_tried(tmp_path: Path) -> None:
    system = replace(NOBLE, keyring=tmp_path / "keyring.gpg")
    plan = walk.Plan((), "", False, False, tmp_path, tmp_path, {}, {}, (), "")
    result = walk.walk(system, plan)
    assert result.missing == "no keyring.gpg; apt-get install ubuntu-keyring"
    assert not list(tmp_path.iterdir())


# What the system knows of this machine's network.


def test_proxies_of_apt_or_the_environment_are_passed_on() -> None:
    said = (
        'Acquire::http::Proxy "http://proxy.example:3128";\nAcquire::Check-Date "false";\n'
        'Acquire::cdrom::mount "/media/cdrom/";\nAcquire::http "";\n'
    )
    environment = {"http_proxy": "http://other.example", "https_proxy": "http://tls.example"}
    assert registries.apt_settings(said, environment) == [
        ("Acquire::http::Proxy", "http://proxy.example:3128"),
        ("Acquire::Check-Date", "false"),
        ("Acquire::https::Proxy", "http://tls.example"),
    ]


def test_pip_gets_indexes_that_are_no_folders_of_this_machine() -> None:
    said = (
        ":env:.default-timeout='180'\nglobal.timeout='15'\n"
        "global.extra-index-url='file:///srv/wheels https://index.example/simple'\n"
        "global.index-url='file:///srv/simple'\nglobal.find-links='/srv/wheels'\n"
    )
    assert registries.pip_settings(said, {"https_proxy": "http://tls.example"}) == {
        "timeout": "180",
        "extra-index-url": "https://index.example/simple",
        "proxy": "http://tls.example",
    }


def test_npm_gets_what_is_set() -> None:
    said = "registry=https://npm.example/\ncafile=null\nnoproxy=\nstrict-ssl=true\n"
    assert registries.npm_settings(said) == {
        "registry": "https://npm.example/",
        "strict-ssl": "true",
    }


def test_certificates_are_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bundle = tmp_path / "ours.crt"
    bundle.write_bytes(b"certificates")
    said = {
        "apt-config": f'Acquire::https::CaInfo "{bundle}";\n',
        "npm": f"cafile={bundle}\n",
    }
    monkeypatch.setattr(
        registries, "_said", lambda *command: said.get(command[0], f"global.cert='{bundle}'\n")
    )
    assert registries.files({}) == {
        "etc/fresh/ours.crt": b"certificates",
        "etc/apt/apt.conf.d/90machine": b'Acquire::https::CaInfo "/etc/fresh/ours.crt";\n',
        "etc/pip.conf": b"[global]\ncert = /etc/fresh/ours.crt\n",
        "root/.npmrc": b"cafile=/etc/fresh/ours.crt\n",
    }
