# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Find the prose of this repository: documents, manuals, help, docstrings and comments.

Each text is one block that a reader takes in at once, such as a paragraph, an item or a cell of a
table.  Code within it becomes the one word ``CODE``, so that patterns see sentences alone.
"""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import click

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCES = (
    "*.md",
    "docs/**/*.md",
    "docs/man/*.[1-9]",
    "contracts/*.md",
    "contracts/src/**/*.sol",
    "fs_*/**/*.py",
    "fs_*/**/*.[ch]",
    "tests/**/*.py",
    "tests/**/*.[ch]",
    "tools/**/*.py",
    "tools/**/*.[ch]",
)
HELP = "help"

_DRAWN = re.compile(r"[─│┌└├▶◀►◄▼▲]|--?>|==>")
_NO_PROSE = re.compile(r"^(noqa|type: ?ignore|pragma|fmt:|SPDX-|!)")
_ITEM = re.compile(r"^\s*(?:[-*•]|\d+\.)\s+")


@dataclass(frozen=True)
class Text:
    """A block of prose, with the file or command it comes from and its line there."""

    place: str
    line: int
    words: str


def all_texts(is_wanted: Callable[[str], bool]) -> Iterator[Text]:
    """The prose of all files, and of the help, whose place is wanted."""
    paths = {path for pattern in SOURCES for path in REPOSITORY.glob(pattern)}
    for path in sorted(path for path in paths if "node_modules" not in path.parts):
        place = path.relative_to(REPOSITORY).as_posix()
        if is_wanted(place):
            yield from texts_of(place, path.read_text())
    if is_wanted(HELP):
        yield from help_texts()


def texts_of(place: str, source: str) -> Iterator[Text]:
    """The prose of one file, by what its name ends in."""
    suffix = Path(place).suffix
    if suffix == ".py":
        found = _in_python(source)
    elif suffix in {".c", ".h", ".sol"}:
        found = _in_c(source)
    elif suffix == ".md":
        found = _in_markdown(source)
    else:
        found = _in_manual(source)
    for line, words in found:
        plain = _plain(words)
        if plain:
            yield Text(place, line, plain)


def sentences(words: str) -> list[str]:
    """The sentences of a block; each keeps the mark that ends it."""
    return re.split(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[A-Z0-9])", words)


def help_texts() -> Iterator[Text]:
    """What ``--help`` says of each verb and option."""
    from fs_tunnel.cli.fs_wg import fs_wg  # noqa: PLC0415 - the verbs take seconds to import
    from fs_tunnel.cli.main import VERBS, cli  # noqa: PLC0415

    for verb, words in VERBS.items():
        yield Text(f"{HELP}/fs-tunnel", 0, f"{verb}: {_plain(words)}")
    yield from _of_command(f"{HELP}/fs-tunnel", cli)
    yield from _of_command(f"{HELP}/fs-wg", fs_wg)


def _of_command(place: str, command: click.Command) -> Iterator[Text]:
    for whole in (command.help, command.short_help, command.epilog):
        for _, words in _paragraphs(1, (whole or "").replace("\f", "").splitlines()):
            yield Text(place, 0, _plain(words))
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.help:
            yield Text(place, 0, f"{parameter.opts[0]}: {_plain(parameter.help)}")
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            verb = command.get_command(context, name)
            assert verb is not None
            yield from _of_command(f"{place} {name}", verb)


def _in_markdown(source: str) -> Iterator[tuple[int, str]]:
    source = re.sub(
        r"<!--.*?-->", lambda found: "\n" * found[0].count("\n"), source, flags=re.DOTALL
    )
    lines, fenced = source.splitlines(), False
    for number, line in enumerate(lines):
        fence = line.lstrip().startswith("```")
        if fence or fenced:
            fenced ^= fence
            lines[number] = ""
        elif line.startswith("#"):
            lines[number] = f"\0{line.lstrip('# ')}"
        elif line.startswith("|"):
            lines[number] = "\0" + "\0".join(re.split(r"(?<!\\)\|", line.strip("|")))
    yield from _paragraphs(1, lines)


def _in_python(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            if docstring:
                yield from _paragraphs(node.body[0].lineno, docstring.splitlines())
    comments = [
        (token.start[0], token.start[1], token.string.lstrip("#").strip())
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    yield from _runs(comments)


def _in_c(source: str) -> Iterator[tuple[int, str]]:
    single: list[tuple[int, int, str]] = []
    for found in re.finditer(r'"(?:\\.|[^"\\\n])*"|/\*.*?\*/|//[^\n]*', source, re.DOTALL):
        words, line = found[0], source.count("\n", 0, found.start()) + 1
        column = found.start() - source.rfind("\n", 0, found.start())
        if words.startswith("//"):
            single.append((line, column, _without_tag(words.lstrip("/").strip())))
        elif words.startswith("/*"):
            inner = words[2:-2].splitlines()
            yield from _paragraphs(line, [_without_tag(each.strip(" *\t")) for each in inner])
    yield from _runs(single)


def _without_tag(words: str) -> str:
    """A line without its tag of NatSpec; a tag begins a block of its own."""
    return re.sub(r"^@(?:param|return|inheritdoc) +\w+ ?|^@[\w:-]+ ?", "\0", words)


def _runs(comments: Iterable[tuple[int, int, str]]) -> Iterator[tuple[int, str]]:
    """Comments on consecutive lines at one column are one text."""
    ordered = [each for each in sorted(comments) if not _NO_PROSE.match(each[2])]
    numbered = enumerate(ordered)
    for _, run in groupby(numbered, lambda each: (each[1][0] - each[0], each[1][1])):
        lines = [comment for _, comment in run]
        yield from _paragraphs(lines[0][0], [words for _, _, words in lines])


def _in_manual(source: str) -> Iterator[tuple[int, str]]:
    """The text of mdoc(7): a macro that marks words up becomes a word."""
    lines, literal = source.splitlines(), False
    for number, line in enumerate(lines):
        macro, _, rest = line.partition(" ")
        if literal or macro in {".Bd", ".Dl", ".Dd", ".Dt"} or line.startswith('.\\"'):
            literal = (literal or macro == ".Bd") and macro != ".Ed"
            lines[number] = ""
        elif macro in {".Sh", ".Ss", ".Nd"}:
            lines[number] = f"\0{rest}"
        elif macro in {".It", ".Pp", ".Bl", ".El", ".Ed", ".Os", ".Op"}:
            lines[number] = ""
        elif macro in {".Nm", ".Cm"} and not rest:
            lines[number] = "CODE"
        elif line.startswith("."):
            mark = re.search(r" ([.,;:?!)]+)$", line)
            lines[number] = f"CODE{mark[1] if mark else ''}"
        lines[number] = re.sub(r"\\[&%|^]|\\f.", "", lines[number]).replace("\\-", "-")
    yield from _paragraphs(1, lines)


def _paragraphs(first: int, lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Blocks with their lines: paragraphs, items, cells; without code and drawings."""
    block: list[str] = []
    began, in_item = first, False
    for number, line in enumerate([*lines, ""], first):
        is_item = _ITEM.match(line) is not None
        is_code = line.startswith("    ") and not block and not in_item
        is_break = not line.strip() or line.startswith("\0") or is_item or _DRAWN.search(line)
        if is_break and block:
            yield began, " ".join(block)
            block = []
        if line.startswith("\0"):
            yield from ((number, cell.strip()) for cell in line.split("\0"))
        elif line.strip() and not is_code and not _DRAWN.search(line):
            began = began if block else number
            block.append(_ITEM.sub("", line).strip())
        in_item = is_item or (in_item and (not line.strip() or line.startswith(" ")))


def _plain(words: str) -> str:
    """Without markup: code is one word, and of a link its text remains."""
    words = re.sub(r"``.+?``|`[^`]+`", "CODE", words)
    words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", words)
    words = re.sub(r"<[^<>\s][^<>]*>", " ", words)
    return " ".join(re.sub(r"\*\*|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)", "", words).split())
