"""What the documents say is true: commands parse or run, files exist, no module is forgotten."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fs_tunnel import config
from fs_tunnel.cli.fs_wg import fs_wg
from fs_tunnel.cli.main import cli
from tools import state_diagram

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text()
ARCHITECTURE = (REPOSITORY / "ARCHITECTURE.md").read_text()
DOCUMENTS = sorted(REPOSITORY.glob("*.md")) + sorted(REPOSITORY.glob("docs/**/*.md"))
PROGRAMS = {"fs-tunnel": cli, "fs-wg": fs_wg}
# Their syntax is not ours to check; tests/interop runs both with our engine.
OTHERS = {"cp", "curl", "openssl", "systemctl", "wg", "wg-quick", "umask", "export"}


def fenced(language: str) -> list[str]:
    """The blocks of a language in the README."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in fenced("sh") for line in block.splitlines()]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_readme_exists(line: str) -> None:
    words = [word for word in re.split(r" [<>] ", line)[0].split() if not is_setting(word)]
    program, *arguments = shlex.split(" ".join(words))
    if program == "make":
        assert re.search(rf"^{arguments[0]}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    elif program in PROGRAMS:
        with contextlib.suppress(click.exceptions.Exit):  # of --help
            parse(PROGRAMS[program], program, arguments)
    elif program == "man":
        assert (REPOSITORY / arguments[-1]).is_file()
    else:
        assert program in OTHERS


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(click.UsageError):
        parse(cli, "fs-tunnel", ["up", "--no-such-option", "client.conf"])
    with pytest.raises(click.UsageError):
        parse(cli, "fs-tunnel", ["no-such-verb"])


def test_the_commands_about_keys_and_files_run(tmp_path: Path) -> None:
    write_configurations(tmp_path)
    keys = next(block for block in fenced("sh") if "genkey" in block)
    rest = [line for line in COMMANDS if line.startswith("fs-tunnel config")]
    done = subprocess.run(
        ["sh", "-e"],
        input=keys + "\n".join(rest),
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "provider.conf: well-formed, 1 peer" in done.stdout
    assert (tmp_path / "private.key").stat().st_mode & 0o077 == 0


def test_the_configurations_fit_each_other(tmp_path: Path) -> None:
    provider, client = (config.load(path) for path in write_configurations(tmp_path))
    for address in client.interface.addresses:
        assert any(address.ip in network for network in provider.peers[0].allowed_ips)
    endpoint = client.peers[0].endpoint
    assert endpoint is not None
    assert endpoint.port == provider.interface.listen_port


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    assert [each for each in targets if not (document.parent / each).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_within_a_document_lead_to_its_headings(document: Path) -> None:
    text = document.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors


def test_the_architecture_names_every_module_and_tool() -> None:
    sources = [*REPOSITORY.glob("fs_tunnel/**/*.py"), *REPOSITORY.glob("tools/**/*.py")]
    names = {path.name for path in sources} - {"__init__.py", "__main__.py"}
    assert {name for name in names if f"`{name}`" not in ARCHITECTURE} == set()


def test_the_architecture_names_no_module_that_is_gone() -> None:
    named = set(re.findall(r"`(\w+\.py)`", ARCHITECTURE)) - {"setup.py"}
    there = {path.name for path in REPOSITORY.glob("[ft]*/**/*.py")}
    assert named - there == set()


def test_timers_and_sessions_are_documented_as_they_run() -> None:
    for path, text in state_diagram.documents().items():
        assert path.read_text() == text


def parse(
    command: click.Command, name: str, arguments: list[str], parent: click.Context | None = None
) -> None:
    """Parse a command line down to its last verb, and run nothing."""
    with command.make_context(name, list(arguments), parent) as context:
        if isinstance(command, click.Group):
            verb, found, rest = command.resolve_command(context, remaining(context))
            assert found is not None
            parse(found, str(verb), rest, context)


def remaining(context: click.Context) -> list[str]:
    """What a group's options left over."""
    return [*getattr(context, "_protected_args", ()), *context.args]


def is_setting(word: str) -> bool:
    return re.fullmatch(r"[A-Z_]+=\S*", word) is not None


def write_configurations(folder: Path) -> list[Path]:
    """The README's two files, with keys in the places of their descriptions."""
    key = subprocess.run(
        [Path(sys.executable).parent / "fs-tunnel", "genkey"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    paths = [folder / "provider.conf", folder / "client.conf"]
    for path, text in zip(paths, fenced("ini"), strict=True):
        path.touch(mode=0o600)
        path.write_text(re.sub(r"<[^>]+>", key, text))
    return paths
