"""``python -m fs_tunnel.roles.agent``: what speaks to strangers and to the chain, as nobody.

The first line of its standard input is what it is to do, as JSON, from a file of root's. It reads
the files named there, gives up root for good, and only then opens its books and the network. What
it tells of itself are lines of JSON on its standard output. SIGTERM has it finish its business.
"""

import codecs
import json
import logging
import os
import socket
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

import uvloop

from fs_tunnel.linux.daemon import system_log
from fs_tunnel.linux.process import allow_files
from fs_tunnel.roles.telling import tell
from fs_wire.errors import FlowShieldError
from fs_wire.unprivileged import become


class _Work(Protocol):
    async def run(self, sockets: dict[str, socket.socket]) -> None: ...


_MAX_START = 1 << 20  # bytes
_MAX_FILES = 16_384  # connections, mostly
# Classes of modules of fs_tunnel.cli: none pays for the libraries of another.
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
    """Exit with 0 when all is done, and with 1 where it is to be started again."""
    start = json.loads(sys.stdin.buffer.readline(_MAX_START))
    handler: logging.Handler = system_log("fs-tunnel")
    if os.environ.get("FS_TUNNEL_DEBUG"):
        handler = logging.StreamHandler()
    logging.basicConfig(level=logging.INFO, handlers=[handler], format="%(levelname)s %(message)s")
    logging.getLogger("web3").setLevel(logging.WARNING)
    try:
        work = _make(*_ROLES[start["role"]])(start)
        codecs.lookup("idna")  # asyncio's, for every host; it is a file of Python's
        allow_files(_MAX_FILES)
        become(start["uid"], start["gid"], start["parent"])
        uvloop.run(work.run(_sockets(start)))
    except FlowShieldError as error:
        tell({"state": "failed", "error": str(error)})
        log.error("%s", error)
        sys.exit(error.exit_code)
    except (OSError, TimeoutError) as error:
        log.error("the agent ends: %s", error or type(error).__name__)
        sys.exit(1)


def _make(module: str, name: str) -> Callable[[dict[str, Any]], _Work]:
    """By root, since nobody else may be able to read the program."""
    made: Callable[[dict[str, Any]], _Work] = getattr(
        import_module(f"fs_tunnel.roles.{module}"), name
    )
    return made


def _sockets(start: dict[str, Any]) -> dict[str, socket.socket]:
    found = {}
    for use, descriptor in start.get("sockets", {}).items():
        found[use] = socket.socket(fileno=descriptor)
        found[use].setblocking(False)
    return found


if __name__ == "__main__":
    main()
