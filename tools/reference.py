# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Write docs/reference.md from each command's --help.

python -m tools.reference            rewrite the document
python -m tools.reference --check    exit with 1 if the document is out of date
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from fs_tunnel.cli.fs_wg import fs_wg
from fs_tunnel.cli.main import cli

DOCUMENT = Path(__file__).parent.parent / "docs" / "reference.md"
COLUMNS = 78  # click also leaves 2 of 80 columns free

_HEAD = """\
# Commands

Made by `python -m tools.reference` from each command's `--help`. The manual pages
[fs-tunnel(8)](man/fs-tunnel.8) and [fs-wg(8)](man/fs-wg.8) tell more: `man docs/man/fs-tunnel.8`.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 not running, 4 not root,
130 interrupted by Ctrl-C.
"""


def commands() -> Iterator[tuple[str, click.Context]]:
    """Yield every command as it is typed, with the context of its help."""
    for name, program in (("fs-tunnel", cli), ("fs-wg", fs_wg)):
        settings = program.context_settings
        yield from _walk(click.Context(program, None, name, terminal_width=COLUMNS, **settings))


def render() -> str:
    """Return the whole document: a heading and the help for each command."""
    sections = (
        f"## {name}\n\n```text\n{context.get_help()}\n```\n" for name, context in commands()
    )
    return "\n".join([_HEAD, *sections])


def main() -> int:
    """Rewrite the document, or compare it with ``--check``."""
    if "--check" not in sys.argv[1:]:
        DOCUMENT.write_text(render())
        return 0
    if DOCUMENT.read_text() != render():
        print("docs/reference.md is stale; run python -m tools.reference", file=sys.stderr)
        return 1
    return 0


def _walk(context: click.Context) -> Iterator[tuple[str, click.Context]]:
    yield context.command_path, context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command is not None
            yield from _walk(click.Context(command, context, name))


if __name__ == "__main__":
    sys.exit(main())
