# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel completion``: let a shell complete verbs, options, files and names of tunnels."""

import click
from click.shell_completion import CompletionItem, get_completion_class

from fs_tunnel.settings import CONFIG_DIRECTORIES


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    For bash: fs-tunnel completion bash > /etc/bash_completion.d/fs-tunnel
    """
    found = get_completion_class(shell)
    assert found is not None
    script = found(ctx.find_root().command, {}, "fs-tunnel", "_FS_TUNNEL_COMPLETE").source()
    # click's script for fish cuts a description at its first comma.
    click.echo(script.replace('string split ","', 'string split --max 1 ","'))


def complete_conf(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The tunnels that have a file in the usual directories; else any file, by the shell."""
    names = sorted({path.stem for each in CONFIG_DIRECTORIES for path in each.glob("*.conf")})
    found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]
