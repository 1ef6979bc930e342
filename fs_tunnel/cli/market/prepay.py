"""``fs-tunnel market prepay``: the file and the QR code of a place that is paid for ahead."""

import json
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import click

from fs_tunnel.cli.options.market_options import prepaying_options
from fs_tunnel.cli.options.params import json_option
from fs_tunnel.console import amounts
from fs_tunnel.console.private_file import write_privately
from fs_tunnel.console.qr_code import KINDS, qr_code, show, write_picture
from fs_tunnel.roles.client import prepaying
from fs_wire.errors import UsageError
from fs_wire.types import PublicKey


@click.command()
@click.option(
    *("-o", "--output"),
    type=click.Path(dir_okay=False, path_type=Path),
    default="phone.conf",
    show_default=True,
    help="The file for the app; its name is the place's.",
)
@click.option("--qr", "is_shown", is_flag=True, help="Show it as a QR code on the terminal.")
@click.option(
    "--qr-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write that into a picture, .png or .svg, which only you can read.",
)
@click.option(
    "--public-key",
    metavar="KEY",
    help="Of the app, which keeps the private one: the file has none then.",
)
@prepaying_options
@json_option
def prepay(
    output: Path,
    is_shown: bool,
    qr_file: Path | None,
    public_key: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Pay ahead for a place that a WireGuard app can use, on a phone say.

    The app cannot pay while it uses a tunnel, so that one voucher promises the whole budget at
    once. The provider is trusted with all of it, and nothing of it is paid back. The same --output
    again gives the same place and pays nothing more, until it is used up.
    """
    kind = qr_file.suffix.lower()[1:] if qr_file else KINDS[0]
    if kind not in KINDS:
        raise UsageError(f"{qr_file} is no .png or .svg; name one")
    if public_key and (is_shown or qr_file):
        raise UsageError("an app reads no QR code without its key; leave out --public-key, or QR")
    if as_json and is_shown:
        raise UsageError("--json and --qr both want the output; use --qr-file")
    theirs = PublicKey.from_base64(public_key) if public_key else None
    # What is said on the way is for people.
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        bought = prepaying.prepay(output, theirs, **options)
    write_privately(output, bought.conf.encode())
    code = qr_code(bought.conf) if is_shown or qr_file else None
    if code is not None and qr_file is not None:
        write_picture(code, qr_file, kind)
    if as_json:
        click.echo(json.dumps({"schema": amounts.SCHEMA, "conf": str(output), **bought.said}))
        return
    if code is not None and is_shown:
        show(code)
    then = "it holds the private key, as its QR code does: delete both once they were read"
    if theirs:
        then = "it lacks the PrivateKey, which the app has"
    click.echo(f"{output}: {bought.said['paid']['text']} is paid ahead to {bought.said['node']}")
    click.echo(then)
