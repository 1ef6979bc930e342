# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The helper as a daemon: ``up`` and ``serve`` run ``python -m fs_tunnel.helper.process NAME``.

Its ``Settings`` come as JSON on its standard input.
"""

import json
import logging
import signal
import sys

from fs_tunnel.config import check_name
from fs_tunnel.helper.protocol import MAX_REQUEST_BYTES
from fs_tunnel.helper.service import run
from fs_tunnel.helper.settings import parse_settings_untrusted
from fs_tunnel.leftovers import End
from fs_tunnel.linux.daemon import daemon, system_log
from fs_tunnel.observe import logs
from fs_tunnel.privileges import require_net_admin
from fs_wire.errors import FlowShieldError, UsageError

_PROGRAM = "fs-tunnel helper"
_ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

log = logging.getLogger(__name__)


def main() -> None:
    """Return to the caller once the helper is ready, or print why it is not."""
    try:
        require_net_admin(_PROGRAM)
        if len(sys.argv) != 2:
            raise UsageError(
                "a helper needs one tunnel's name; fs-tunnel up and serve start helpers"
            )
        name = check_name(sys.argv[1])
        settings = parse_settings_untrusted(_read_json())
    except FlowShieldError as error:
        sys.stderr.write(f"{_PROGRAM}: error: {error}\n")
        sys.exit(error.exit_code)
    logs.set_up(
        system_log("fs-tunnel"),
        logging.WARNING,
        "%(levelname)s %(message)s",
        program="fs-tunnel",
        tunnel=name,
    )
    with daemon(_PROGRAM) as ready:
        end = run(name, settings, ready=ready, endings=_ENDINGS, is_daemon=True)
    if end in (End.CLOSED, End.UNDONE):
        log.error("the engine of %s ended: %s", name, end.value)


def _read_json() -> object:
    try:
        return json.loads(sys.stdin.buffer.read(MAX_REQUEST_BYTES))
    except (ValueError, RecursionError):
        raise UsageError("the settings are no JSON; fs-tunnel up and serve send them") from None


if __name__ == "__main__":
    main()
