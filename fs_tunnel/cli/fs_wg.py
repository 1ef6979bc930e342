# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-wg [-f] IFNAME``: the bare engine, with wireguard-go's command line.

It returns once the TUN and the UAPI socket exist; ``wg`` and ``ip`` do the rest.
"""

import logging
import os
import signal
import sys

import click

from fs_tunnel.cli.version import version_option
from fs_tunnel.engine import control_server, uapi_server
from fs_tunnel.engine.engine import STOP_SIGNALS, Engine, run
from fs_tunnel.engine.options import EngineOptions
from fs_tunnel.linux.daemon import daemon, system_log
from fs_tunnel.linux.routing.tun import open_tun
from fs_tunnel.observe import logs
from fs_wire import control, uapi
from fs_wire.errors import FlowShieldError

DEFAULT_MTU = 1420  # bytes: 1500 less the 80 that an IPv6 path needs for the outer headers

_LEVELS = {
    "verbose": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "error": logging.ERROR,
    "silent": logging.CRITICAL,
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground and log to stderr.")
@version_option
@click.argument("ifname")
def fs_wg(foreground: bool, ifname: str) -> None:
    """Create the WireGuard interface IFNAME; configure it with wg(8) and ip(8).

    Set LOG_LEVEL to verbose, info, error (the default) or silent. With FS_TUNNEL_LOG=json each
    line of the log is a JSON object.
    """
    _set_up_logging(foreground, ifname)
    # A signal that comes before the engine can handle it waits, so that no socket is left behind.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    options = EngineOptions.from_environment()
    tun = open_tun(ifname, queues=options.threads)
    tun.mtu = DEFAULT_MTU
    uapi_socket = uapi_server.listen(ifname)
    try:
        engine = Engine(tun, uapi_socket, control_server.listen(ifname), options)
    except FlowShieldError:
        uapi.socket_path(ifname).unlink()
        raise
    if foreground:
        _confine(engine, ifname, options)
    else:
        # Whoever waits for this command may go on once the daemon is as it is to be.
        with daemon("fs-wg") as ready:
            _confine(engine, ifname, options)
            ready()
    run(engine)


def main() -> None:
    """Entry point: one line for every expected error, and its exit code."""
    try:
        fs_wg.main(standalone_mode=True)
    except FlowShieldError as error:
        print(f"fs-wg: error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _set_up_logging(foreground: bool, ifname: str) -> None:
    handler = logging.StreamHandler() if foreground else system_log("fs-wg")
    level = _LEVELS.get(os.environ.get("LOG_LEVEL", "error").lower(), logging.ERROR)
    logs.set_up(handler, level, "%(levelname)s %(message)s", program="fs-wg", tunnel=ifname)


def _confine(engine: Engine, ifname: str, options: EngineOptions) -> None:
    if not options.is_confined:
        return
    try:
        engine.confine()
    except FlowShieldError:
        for path in (uapi.socket_path(ifname), control.socket_path(ifname)):
            path.unlink()
        raise


if __name__ == "__main__":
    main()
