# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel market prepay``: the file and the QR code of a place that is paid for ahead."""

import json
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import click

from fs_tunnel.cli.options.market_options import prepaying_options, purchase_of
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
    help="File to write for the app. Its name becomes the place's name.",
)
@click.option("--qr", "is_shown", is_flag=True, help="Show the file as a QR code in the terminal.")
@click.option(
    "--qr-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the QR code into a .png or .svg that only you can read.",
)
@click.option(
    "--public-key",
    metavar="KEY",
    help="The app's public key. The private key then stays in the app.",
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
    """Pay ahead for a place that a WireGuard app can use.

    The app cannot pay while it uses a tunnel, so one voucher promises the whole budget at once. You
    trust the provider with all of it, and get nothing back. The same --output gives the same place
    again and pays nothing more, until the place is used up.
    """
    kind = qr_file.suffix.lower()[1:] if qr_file else KINDS[0]
    if kind not in KINDS:
        raise UsageError(f"{qr_file} is neither .png nor .svg; name one")
    if public_key and (is_shown or qr_file):
        raise UsageError("a QR code needs the private key; leave out --public-key, or the QR code")
    if as_json and is_shown:
        raise UsageError("--json and --qr both print to standard output; use --qr-file")
    theirs = PublicKey.from_base64(public_key) if public_key else None
    # What is said on the way is for people.
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        bought = prepaying.prepay(output, theirs, purchase_of(options))
    write_privately(output, bought.conf.encode())
    code = qr_code(bought.conf) if is_shown or qr_file else None
    if code is not None and qr_file is not None:
        write_picture(code, qr_file, kind)
    if as_json:
        click.echo(json.dumps({"schema": amounts.SCHEMA, "conf": str(output), **bought.said}))
        return
    if code is not None and is_shown:
        show(code)
    then = "the file and its QR code hold the private key; delete both once your phone has read it"
    if theirs:
        then = "the file has no PrivateKey, because the app has it"
    click.echo(f"{output}: paid {bought.said['paid']['text']} ahead to {bought.said['node']}")
    click.echo(then)
