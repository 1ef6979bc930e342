# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What the documents say is true: commands parse or run, files and functions exist."""

import ast
import configparser
import contextlib
import json
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import click
import pytest

from fs_tunnel import config
from fs_tunnel.cli.fs_wg import fs_wg
from fs_tunnel.cli.main import cli
from tools import import_diagram, state_diagram

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text()
ARCHITECTURE = (REPOSITORY / "ARCHITECTURE.md").read_text()
DOCUMENTS = sorted(REPOSITORY.glob("*.md")) + sorted(REPOSITORY.glob("docs/**/*.md"))
# Those that describe the code.
OURS = [
    path
    for path in DOCUMENTS
    if path.name == "ARCHITECTURE.md" or path.is_relative_to(REPOSITORY / "docs" / "decisions")
]
PAGE = REPOSITORY / "tests/net/page"
LAW = {
    *("tunnel", "session", "place", "provider", "client", "full node", "chain node", "agent"),
    *("helper", "mover", "wallet", "account", "channel", "voucher", "credit window"),
    *("close window", "record", "listing", "standby"),
}
PROGRAMS = {"fs-tunnel": cli, "fs-wg": fs_wg}
# Their syntax is not ours to check; tests/guides types them.
OTHERS = {"cat", "curl", "mkdir", "openssl", "scp", "umask"}


def commands_of(document: Path) -> list[str]:
    """The lines of its blocks for a shell, without the files that they write."""
    blocks = re.findall(r"^```sh[^\n]*\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)
    text = re.sub(r" <<END\n.*?^END$", "", "".join(blocks), flags=re.MULTILINE | re.DOTALL)
    return text.splitlines()


# The values that a reader fills in are no commands.
COMMANDS = [
    line
    for document in DOCUMENTS
    for line in commands_of(document)
    if not re.match(r"[A-Z_]+=", line)
]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_documents_exists(line: str) -> None:
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


def test_the_architecture_is_short_enough_to_be_read() -> None:
    assert len(ARCHITECTURE.splitlines()) <= 250


def test_the_architecture_names_every_package_and_room() -> None:
    """A room is one by its folder and package, as ``core`` of ``fs_net``, or by its whole path."""
    map_of_folders = section(ARCHITECTURE, "The map")
    packages = re.split(r"^\| \*\*`(\w+)/`\*\*", map_of_folders, flags=re.MULTILINE)
    for name, rows in zip(packages[1::2], packages[2::2], strict=True):
        for room in REPOSITORY.glob(f"{name}/*/__init__.py"):
            assert f"`{room.parent.name}`" in rows or f"`{room.parent.name}/" in rows, room
    assert {path.parent.name for path in REPOSITORY.glob("fs_*/__init__.py")} <= set(packages)


@pytest.mark.parametrize("document", OURS, ids=lambda path: path.name)
def test_paths_in_a_document_exist(document: Path) -> None:
    """A path may leave out the folders that the text names before; a folder ends in none."""
    there = files()
    named = set(re.findall(r"`([\w./-]+\.(?:py|sol|[ch]))`", document.read_text()))
    assert {path for path in named if not any(each.endswith(f"/{path}") for each in there)} == set()


def test_every_answer_of_where_names_a_file_and_its_function() -> None:
    rows = table(REPOSITORY / "docs" / "where.md")
    assert len(rows) == 20
    for question, file, function in rows:
        assert question.endswith("?")
        assert is_defined(function.strip("`"), REPOSITORY / file.strip("`")), (file, function)


def test_a_function_that_is_gone_is_noticed() -> None:
    assert is_defined("Device.add_peer", REPOSITORY / "fs_tunnel/proto/device.py")
    assert not is_defined("Device.receive_coffee", REPOSITORY / "fs_tunnel/proto/device.py")
    assert not is_defined("replay_coffee", REPOSITORY / "fs_tunnel/dataplane/native/replay.c")


def test_the_glossary_has_the_words_that_are_law() -> None:
    text = (REPOSITORY / "docs" / "glossary.md").read_text()
    words = re.findall(r"^\| \*\*(.+?)\*\* \| (.+) \|$", text, re.MULTILINE)
    names = [word for word, _ in words]
    assert LAW - set(names) == set()
    assert len(set(names)) == len(names)
    for word, meaning in words:
        assert re.fullmatch(r"[^.]+\.", meaning), f"{word}: not one sentence"


def test_decisions_have_a_number_three_headings_and_a_line_in_the_index() -> None:
    folder = REPOSITORY / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    found = sorted(folder.glob("[0-9]*.md"))
    for number, path in enumerate(found, 1):
        title, *headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
        assert title.startswith(f"{number:03}. ")
        assert path.name.startswith(f"{number:03}-")
        assert headings == ["Context", "Decision", "Consequences"]
        assert f"- [{title}]({path.name})" in index
    assert index.count("\n- [") == len(found)


def test_every_dependency_says_what_it_is_for() -> None:
    text = (REPOSITORY / "docs" / "dependencies.md").read_text()
    rows = [cells[0] for cells in table_rows(text)]
    named = [name for cell in rows for name in re.findall(r"`([^`]+)`", cell)]
    assert set(named) == dependencies()


def test_the_diagram_of_imports_is_that_of_the_imports() -> None:
    diagram = import_diagram.render(import_diagram.graph())
    assert import_diagram.replaced(ARCHITECTURE, diagram) == ARCHITECTURE


def test_timers_and_sessions_are_documented_as_they_run() -> None:
    for path, text in state_diagram.documents().items():
        assert path.read_text() == text


def section(text: str, heading: str) -> str:
    """What is below a heading of the second level."""
    return re.split(r"^## ", text.partition(f"\n## {heading}\n")[2], flags=re.MULTILINE)[0]


def table_rows(text: str) -> list[list[str]]:
    """The cells of all rows of all tables, without their heads."""
    rows = re.findall(r"^\|(?!-)(.+)\|$(?!\n\|-)", text, re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in rows]


def table(document: Path) -> list[list[str]]:
    """The rows of a document's tables."""
    return table_rows(document.read_text())


@cache
def files() -> frozenset[str]:
    """The sources of this repository, its tests and tools included; each begins with a slash."""
    found = {REPOSITORY / "setup.py"}
    for folder in ("fs_*", "tests", "tools", "contracts/src", "contracts/test"):
        for pattern in ("py", "sol", "[ch]"):
            found.update(REPOSITORY.glob(f"{folder}/**/*.{pattern}"))
    return frozenset(f"/{path.relative_to(REPOSITORY)}" for path in found)


def is_defined(name: str, file: Path) -> bool:
    """Whether a file has this function; in Python ``Class.method`` is one of its class."""
    if file.suffix != ".py":
        return re.search(rf"^\s*(?:\w+ )+{name}\(", file.read_text(), re.MULTILINE) is not None
    nodes: list[ast.stmt] = ast.parse(file.read_text()).body
    for part in name.split("."):
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found = [node for node in nodes if isinstance(node, kinds) and node.name == part]
        if not found:
            return False
        nodes = found[0].body
    return True


def dependencies() -> set[str]:
    """All names that setup.cfg, the lists of requirements and npm's package.json ask for."""
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    extras = setup["options.extras_require"].values()
    wanted = "\n".join([setup["options"]["install_requires"], *extras])
    folder = REPOSITORY / "requirements"
    wanted += "".join(path.read_text() for path in folder.glob("*.in"))
    names = {re.split(r"[ >=<\[;]", line)[0] for line in plain_lines(wanted)}
    for path in (*folder.glob("apt*.txt"), *folder.glob("apt/*.txt")):
        for line in plain_lines(path.read_text()):
            # In the list of what is unpacked, the program comes before its packages.
            names.update(line.split()[1:] if line.startswith("/") else line.split()[:1])
    for folder in (REPOSITORY / "contracts", REPOSITORY / "tests/net/interop", PAGE):
        package = json.loads((folder / "package.json").read_text())
        names |= {*package["dependencies"], *package.get("optionalDependencies", {})}
    return names


def plain_lines(text: str) -> list[str]:
    """Lines without comments, and none that is empty."""
    return [line for line in re.sub(r"#.*", "", text).splitlines() if line.strip()]


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
    """The two files of the guide for a client with a file, a provider's and a client's."""
    guide = (REPOSITORY / "docs" / "guides" / "client-with-a-file.md").read_text()
    key = subprocess.run(
        [Path(sys.executable).parent / "fs-tunnel", "genkey"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    paths = []
    for name, text in re.findall(
        r"^cat > (\S+) <<END\n(.*?)^END$", guide, re.MULTILINE | re.DOTALL
    ):
        paths.append(folder / name)
        paths[-1].touch(mode=0o600)
        filled = re.sub(r"\$\(cat private\.key\)|\$\w+_KEY", key, text)
        paths[-1].write_text(filled.replace("$PROVIDER", "192.0.2.1"))
    return paths
