# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel``: finds the verb, and turns every failure into one line and an exit code.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 not running, 4 privilege, 130 interrupted.
"""

import errno
import logging
import os
import sys
from difflib import get_close_matches
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from fs_tunnel.cli.version import version_option
from fs_tunnel.observe import logs
from fs_wire.errors import FlowShieldError

log = logging.getLogger(__name__)

_FULL = {errno.ENOSPC, errno.EDQUOT}

# A verb is the attribute NAME of the module fs_tunnel.cli.NAME, which is imported when it is used.
VERBS = {
    "up": "Connect: bring up the tunnel in a wg-quick file, or buy one.",
    "serve": "Provide: serve the clients listed in a wg-quick file.",
    "run": "Run one program inside or outside a tunnel.",
    "down": "Take a tunnel down and undo everything it changed.",
    "cleanup": "Clean up after tunnels that crashed.",
    "lockdown": "Block this host's traffic while no full tunnel is up.",
    "status": "Show the tunnels that are up or blocked.",
    "top": "Show live traffic, the busiest peer first.",
    "metrics": "Print or serve metrics for Prometheus.",
    "debug": "Collect what a bug report needs.",
    "genkey": "Make a private key.",
    "genpsk": "Make a pre-shared key.",
    "pubkey": "Derive the public key of a private key.",
    "config": "Check a tunnel's file, or show it as a QR code.",
    "wallet": "Make a wallet, look at it, and move its money.",
    "market": "Find providers, manage purchases, or become a provider.",
    "fullnode": "Run a full node: list providers for others.",
    "chain": "Run a development chain of your own.",
    "completion": "Print the completion script for a shell.",
}

# The module of a verb that has siblings; any other has the verb's name.
_ROOMS = {
    "genkey": "keys.genkey",
    "genpsk": "keys.genpsk",
    "pubkey": "keys.pubkey",
    "wallet": "wallet.group",
    "market": "market.group",
}


class _Verbs(click.Group):
    """Imports a verb when it is called: one command does not pay for the libraries of another."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = _ROOMS.get(cmd_name, cmd_name)
        command = getattr(import_module(f"fs_tunnel.cli.{module}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in VERBS and not name.startswith("-") and not ctx.resilient_parsing:
            close = get_close_matches(name, VERBS, n=1)
            ctx.fail(
                f"No such command {name!r}." + (f" Did you mean {close[0]!r}?" if close else "")
            )
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [
            CompletionItem(n, help=what) for n, what in VERBS.items() if n.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@version_option
@click.option(
    "--log-format",
    type=click.Choice(logs.FORMATS),
    help="Format of warnings, errors and the engines' logs.",
)
def cli(log_format: str | None) -> None:
    """A userspace WireGuard tunnel, client and provider in one program."""
    if log_format is not None:
        # The engines that are started inherit it.
        os.environ["FS_TUNNEL_LOG"] = log_format
        _set_up_logging()


def main() -> None:
    """Entry point of the console script."""
    try:
        _set_up_logging()
        sys.exit(cli.main(prog_name="fs-tunnel", standalone_mode=False))
    except FlowShieldError as error:
        _fail(str(error), error.exit_code)
    except click.ClickException as error:
        _fail_usage(error)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Exception as error:
        if os.environ.get("FS_TUNNEL_DEBUG"):
            raise
        if isinstance(error, OSError) and error.errno in _FULL:
            _fail(f"nothing can be written ({error.strerror}); make room, and run it again", 1)
        # Of an OSError the reason is told; other messages might quote a secret.
        reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        kind = type(error).__name__
        _fail(f"unexpected {kind}{reason}; set FS_TUNNEL_DEBUG=1 and report what it shows", 1)


def _fail_usage(error: click.ClickException) -> None:
    """A mistake in the command line; the help of a command that lacks its verb is shown whole."""
    message = error.format_message()
    if message.startswith("Usage:"):
        error.show()
        sys.exit(error.exit_code)
    message = " ".join(message.split())  # a list of choices has a line for each
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "fs-tunnel"
    see = f" See {command} --help" if message.endswith("?") else f"; see {command} --help"
    _fail(message.rstrip(".") + see, error.exit_code)


def _set_up_logging() -> None:
    logs.set_up(
        logging.StreamHandler(),
        logging.WARNING,
        "fs-tunnel: %(levelname)s: %(message)s",
        program="fs-tunnel",
    )


def _fail(message: str, exit_code: int) -> None:
    if any(isinstance(each.formatter, logs.JsonFormatter) for each in logging.root.handlers):
        log.error("%s", message, extra={"exit_code": exit_code})
    else:
        print(f"fs-tunnel: error: {message}", file=sys.stderr)
    _drop_unwritten()
    sys.exit(exit_code)


def _drop_unwritten() -> None:
    """Where the output is a full disk, Python would fail once more while it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except AttributeError:
        pass  # it was closed from the start


if __name__ == "__main__":
    main()
