"""``fs-tunnel completion``: let a shell complete verbs and options."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    For bash: fs-tunnel completion bash > /etc/bash_completion.d/fs-tunnel
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(ctx.find_root().command, {}, "fs-tunnel", "_FS_TUNNEL_COMPLETE").source())
