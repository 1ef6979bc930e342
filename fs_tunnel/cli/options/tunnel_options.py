"""Options that ``up`` and ``serve`` share."""

import click

FOREGROUND = click.option(
    "-f", "--foreground", is_flag=True, help="Stay until Ctrl-C or SIGTERM, then take it down."
)
ALLOW_HOOKS = click.option(
    "--allow-hooks",
    is_flag=True,
    help="Run PreUp, PostUp, PreDown and PostDown, if only root can have written them.",
)
