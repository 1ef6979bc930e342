# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel config``: look at a tunnel's file before it is used."""

from pathlib import Path

import click

from fs_tunnel import settings
from fs_tunnel.cli.completion import complete_conf
from fs_tunnel.config import TunnelConfig, permission_warning, render
from fs_tunnel.console.qr_code import qr_code, show, write_picture
from fs_tunnel.console.text import warn


@click.group()
def config() -> None:
    """Check a tunnel's file, or show it as a QR code."""


@config.command()
@click.argument("conf", shell_complete=complete_conf)
def check(conf: str) -> None:
    """Check CONF, and name the line and key of a mistake."""
    parsed = settings.read(conf)
    warning = permission_warning(Path(parsed.source))
    if warning is not None:
        warn(warning)
    click.echo(f"{parsed.source}: {_summary(parsed)}")


@config.command()
@click.option(
    "--png",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a picture that only you can read, instead of drawing in the terminal.",
)
@click.argument("conf", shell_complete=complete_conf)
def qr(png: Path | None, conf: str) -> None:
    """Show CONF as a QR code for the WireGuard app.

    The code holds the private key.
    """
    code = qr_code(render(settings.read(conf)))
    if png is None:
        show(code)
        return
    write_picture(code, png, "png")
    click.echo(f"{png} holds the private key; delete it once your phone has read it")


def _summary(parsed: TunnelConfig) -> str:
    peers, hooks = len(parsed.peers), len(parsed.interface.hooks)
    said = f"well-formed, {peers} peer{'s' * (peers != 1)}"
    if hooks:
        said += f", {hooks} hook{'s' * (hooks != 1)} (up refuses them without --allow-hooks)"
    if parsed.interface.save_config:
        said += ", SaveConfig is not supported: changes by wg set are not saved"
    return said
