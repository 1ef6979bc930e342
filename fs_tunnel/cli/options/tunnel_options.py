# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Options that ``up`` and ``serve`` share."""

import click

FOREGROUND = click.option(
    "-f", "--foreground", is_flag=True, help="Stay until Ctrl-C or SIGTERM, then take down."
)
ALLOW_HOOKS = click.option(
    "--allow-hooks",
    is_flag=True,
    help="Run the file's PreUp, PostUp, PreDown and PostDown. Only root may own the file.",
)
