"""``fs-tunnel completion``: let a shell complete verbs and options."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    For bash: fs-tunnel completion bash > /etc/bash_completion.d/fs-tunnel
    """
    from fs_tunnel.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "fs-tunnel", "_FS_TUNNEL_COMPLETE").source())
