# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Every failure is one line and a documented exit code; nobody sees a traceback."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import click
import pytest

from fs_tunnel import __version__
from fs_tunnel.cli import main as main_module
from fs_tunnel.cli.main import VERBS, main
from fs_tunnel.dataplane.native import AEAD
from fs_tunnel.privileges import require_net_admin, require_root
from fs_tunnel.proto.errors import ProtocolError
from fs_wire import errors
from fs_wire.errors import PrivilegeError
from tools.testing import patience

PROGRAM = Path(sys.executable).parent / "fs-tunnel"
DEADLINE = patience.seconds(30.0)  # seconds
QUOTED = "what may be a secret"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        timeout=DEADLINE,
    )


def raiser(error: BaseException) -> Callable[[], None]:
    def verb() -> None:
        raise error

    return verb


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Callable[[], None]], tuple[object, str]]:
    """Run a function as a verb; give back the exit code and what went to standard error."""
    monkeypatch.delenv("FS_TUNNEL_DEBUG", raising=False)

    def call(function: Callable[[], None]) -> tuple[object, str]:
        module = ModuleType("fs_tunnel.cli.probe")
        module.probe = click.command("probe")(function)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(VERBS, "probe", "Try.")
        monkeypatch.setattr(sys, "argv", ["fs-tunnel", "probe"])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    return call


Call = Callable[[Callable[[], None]], tuple[object, str]]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.FlowShieldError, 1),
        (errors.SystemChangeError, 1),
        (errors.ControlError, 1),
        (ProtocolError, 1),
        (errors.UsageError, 2),
        (errors.ConfigError, 2),
        (errors.NotRunningError, 3),
        (errors.PrivilegeError, 4),
    ],
)
def test_each_error_has_its_exit_code(
    call: Call, error: type[errors.FlowShieldError], code: int
) -> None:
    assert call(raiser(error("x failed; do y"))) == (code, "fs-tunnel: error: x failed; do y\n")


def test_done_is_zero(call: Call) -> None:
    assert call(lambda: None) == (None, "")  # which is how Python spells 0


def test_ctrl_c_is_130_and_says_nothing(call: Call) -> None:
    code, said = call(lambda: signal.raise_signal(signal.SIGINT))
    assert (code, said.strip()) == (130, "")


def test_the_unexpected_is_one_line_that_quotes_nothing(call: Call) -> None:
    code, said = call(raiser(RuntimeError(QUOTED)))
    assert code == 1
    assert said == (
        "fs-tunnel: error: unexpected RuntimeError; "
        "set FS_TUNNEL_DEBUG=1 and report what it shows\n"
    )


def test_of_an_operating_systems_error_the_reason_is_told(call: Call) -> None:
    code, said = call(raiser(PermissionError(13, "Permission denied", QUOTED)))
    assert code == 1
    assert "unexpected PermissionError (Permission denied); set" in said
    assert QUOTED not in said


def test_a_full_disk_is_no_defect() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "fs_tunnel.cli.main", "genkey"],
        stdout=os.open("/dev/full", os.O_WRONLY),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert made.returncode == 1
    assert made.stderr == (
        "fs-tunnel: error: nothing can be written (No space left on device); "
        "make room, and run it again\n"
    )


def test_the_debug_switch_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    def verb() -> None:
        monkeypatch.setenv("FS_TUNNEL_DEBUG", "1")
        raise RuntimeError("shown")

    with pytest.raises(RuntimeError, match="shown"):
        call(verb)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-verb"], "No such command 'no-such-verb'; see fs-tunnel --help"),
        (["status", "--no-such"], "No such option '--no-such'; see fs-tunnel status --help"),
        (["serve"], "Missing argument 'CONF'; see fs-tunnel serve --help"),
        (
            ["up"],
            "name a CONF, or buy a tunnel with --max-price and --budget; see fs-tunnel up --help",
        ),
        (["config", "check"], "Missing argument 'CONF'; see fs-tunnel config check --help"),
        (["completion", "tcsh"], "see fs-tunnel completion --help"),
        (
            ["completion"],
            "Choose from: bash, zsh, fish; see fs-tunnel completion --help",
        ),
        (["statsu"], "No such command 'statsu'. Did you mean 'status'? See fs-tunnel --help"),
        (["market", "qoute"], "Did you mean 'quote'? See fs-tunnel market --help"),
        (["wallet", "deposit", "5FST"], 'write the amount with its unit, such as "5 USDC"'),
        (["wallet", "withdraw", "5"], 'write the amount with its unit, such as "5 USDC"'),
        (["market", "stake", "5"], 'write the amount with its unit, such as "5 USDC"'),
        (
            ["run", "curl", "http://192.0.2.1"],
            "fs-tunnel run --inside -- PROGRAM; see fs-tunnel run --help",
        ),
        (["genkey", "x"], "Got unexpected extra argument (x); see fs-tunnel genkey --help"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_2(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("fs-tunnel: error: ")
    assert done.stderr.endswith(f"{said}\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["config"]])
def test_without_a_verb_the_help_is_shown(arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: fs-tunnel")
    assert "Commands:" in done.stderr


def test_the_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (
        0,
        f"fs-tunnel, version {__version__}; packet path: native ({AEAD})\n",
    )


def test_the_help_lists_every_verb_and_its_exit_codes_are_documented() -> None:
    done = run("--help")
    assert done.returncode == 0
    for verb, what in VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(what[:40])}", done.stdout, re.MULTILINE)
    documented = main_module.__doc__ or ""
    for error in (errors.UsageError, errors.NotRunningError, errors.PrivilegeError):
        assert re.search(rf"\b{error.exit_code} [a-z]", documented)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_verb_has_help(verb: str, option: str) -> None:
    done = run(verb, option)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: fs-tunnel {verb}")


def test_every_module_of_a_verb_is_reachable() -> None:
    """No verb is forgotten in the table, and the table names no other."""
    folder = Path(main_module.__file__).parent
    groups = {path.parent for path in folder.glob("*/group.py")}
    alone = {path.stem for path in folder.glob("**/*.py") if path.parent not in groups}
    shared = {
        *("__init__", "main", "fs_wg", "spending", "tunnels", "version"),
        *("market_options", "page_options", "params", "tunnel_options", "shared"),
    }
    assert (alone - shared) | {each.name for each in groups} == set(VERBS)


@pytest.mark.parametrize("group", ["market", "wallet"])
def test_no_verb_of_a_group_is_forgotten(group: str) -> None:
    """Whoever imports the group has all files of its room."""
    script = f"import sys, fs_tunnel.cli.{group}.group; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    room = Path(main_module.__file__).with_name(group)
    names = {f"fs_tunnel.cli.{group}.{path.stem}" for path in room.glob("*.py")}
    assert names - set(loaded) == {f"fs_tunnel.cli.{group}.__init__"}


def test_a_verb_imports_no_library_of_another() -> None:
    """Keys are made at once, and where pyroute2 or uvloop are broken, too."""
    probe = (
        "import sys; from fs_tunnel.cli.main import main; sys.argv = ['fs-tunnel', 'genpsk'];\n"
        "try: main()\n"
        "finally: print(sorted({'pyroute2', 'uvloop', 'segno', 'pytun'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=False, timeout=DEADLINE
    )
    assert done.returncode == 0
    assert done.stdout.splitlines()[1] == "[]"


def test_a_reader_that_goes_away_is_no_news() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$0" completion bash | true', PROGRAM],
        capture_output=True,
        check=False,
        timeout=DEADLINE,
    )
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("require", "why"),
    [
        (require_root, "reads what only root can see"),
        (require_net_admin, "changes interfaces and routes"),
    ],
)
def test_who_is_not_root_learns_what_root_is_for(
    monkeypatch: pytest.MonkeyPatch, require: Callable[[str], None], why: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PrivilegeError, match=f"fs-tunnel status {why}; run it with sudo"):
        require("fs-tunnel status")
