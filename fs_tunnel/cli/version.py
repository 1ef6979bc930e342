# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``--version``: of the program, and which packet path was built with it."""

import click

from fs_tunnel import __version__


def show_version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    """Callback of the option: print one line, and end."""
    if asked:
        # Only for who asks: the packet path brings the event loop and the extension.
        from fs_tunnel.engine.pumps import BUILD  # noqa: PLC0415

        click.echo(f"{context.find_root().info_name}, version {__version__}; {BUILD}")
        context.exit()


version_option = click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_version,
    help="Show the version and exit.",
)
