# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Options of a full node's API and page."""

from collections.abc import Callable
from typing import Any

import click


def page_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--proxy",
            metavar="ADDRESS",
            help="Address of your reverse proxy. Only its X-Forwarded-For is trusted.",
        ),
        click.option(
            "--origin",
            metavar="URL",
            help="Public URL of the page, such as https://node.example. "
            "Default: http://ADDRESS:PORT.",
        ),
        click.option(
            "--api",
            metavar="ADDRESS:PORT",
            help="Serve the HTTP API and the page here, in plain HTTP.",
        ),
    ):
        command = option(command)
    return command
