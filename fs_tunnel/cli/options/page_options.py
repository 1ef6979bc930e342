"""Options of a full node's API and page."""

from collections.abc import Callable
from typing import Any

import click


def page_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--proxy",
            metavar="ADDRESS",
            help="Where a reverse proxy stands, whose X-Forwarded-For is believed.",
        ),
        click.option(
            "--origin",
            metavar="URL",
            help="How browsers name the page, if not http://ADDRESS:PORT: https://node.example.",
        ),
        click.option(
            "--api",
            metavar="ADDRESS:PORT",
            help="Serve the HTTP API and the page there; over TLS behind a reverse proxy.",
        ),
    ):
        command = option(command)
    return command
