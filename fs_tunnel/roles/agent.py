# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``python -m fs_tunnel.roles.agent``: an unprivileged process that speaks to strangers.

Its standard input begins with two lines of JSON: ``fs_tunnel.helper.starts.Launch``, and one of
``fs_tunnel.roles.starts``. The agent reads the files named there as root, and then gives up root
for good. Only after that does it open its books and the network. It reports on its standard output,
in lines of JSON, and also says there why it failed. On SIGTERM it finishes its business and ends.
"""

import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Protocol

import uvloop

from fs_tunnel.helper import starts as launches
from fs_tunnel.helper.starts import MAX_START, Launch
from fs_tunnel.linux.daemon import system_log
from fs_tunnel.linux.process import allow_files
from fs_tunnel.roles.starts import AgentStart, parse_start
from fs_tunnel.roles.telling import tell
from fs_wire.errors import FlowShieldError
from fs_wire.failure import describe
from fs_wire.unprivileged import become


class _Work(Protocol):
    async def run(self, sockets: dict[str, socket.socket]) -> None: ...


_MAX_FILES = 16_384  # most of them are connections
# Modules of fs_tunnel.roles and their classes. No agent imports the libraries of another.
_ROLES = {
    "provider": ("provider.selling_agent", "Seller"),
    "negotiate": ("client.buying_agent", "Negotiator"),
    "prepay": ("client.prepaying_agent", "Prepayer"),
    "order": ("client.buying_agent", "Orderer"),
    "meet": ("client.meeting_agent", "Asker"),
    "client": ("client.buying_agent", "Payer"),
    "find": ("client.finding_agent", "Finder"),
}

log = logging.getLogger("fs_tunnel.agent")


def main() -> None:
    """Exit with 0 if all is done, and with another code if the helper should start it again."""
    launch_line, start_line = (sys.stdin.buffer.readline(MAX_START) for _ in range(2))
    handler: logging.Handler = system_log("fs-tunnel")
    if os.environ.get("FS_TUNNEL_DEBUG"):
        handler = logging.StreamHandler()
    logging.basicConfig(level=logging.INFO, handlers=[handler], format="%(levelname)s %(message)s")
    try:
        launch = launches.CODEC.from_line(Launch, launch_line)
        start = parse_start(start_line)
        work = _make(*_ROLES[start.role])(start)
        allow_files(_MAX_FILES)
        become(start.user.uid, start.user.gid, launch.parent)
        uvloop.run(work.run(_sockets(launch.sockets)))
    except FlowShieldError as error:
        tell({"state": "failed", "error": str(error)})
        log.error("%s", error)
        sys.exit(error.exit_code)
    except (OSError, TimeoutError) as error:
        _end(f"the agent ends: {describe(error)}")
    except Exception as error:
        log.debug("where it ended", exc_info=True)
        _end(f"the agent ended by mistake: {describe(error)}")


def _end(why: str) -> None:
    tell({"state": "failed", "error": why})
    log.error("%s", why)
    sys.exit(1)


def _make(module: str, name: str) -> Callable[[AgentStart], _Work]:
    """Import the agent's class. Only root may be able to read the program's files."""
    made: Callable[[Any], _Work] = getattr(import_module(f"fs_tunnel.roles.{module}"), name)
    return made


def _sockets(descriptors: Mapping[str, int]) -> dict[str, socket.socket]:
    found = {}
    for use, descriptor in descriptors.items():
        found[use] = socket.socket(fileno=descriptor)
        found[use].setblocking(False)
    return found


if __name__ == "__main__":
    main()
