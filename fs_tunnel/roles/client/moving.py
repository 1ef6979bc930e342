# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The mover takes a tunnel that lost its provider to a standby.

A tunnel's helper runs ``python -m fs_tunnel.roles.client.moving`` as root, and hands it a
``MoverStart``. The mover makes one connection to the next provider. An unprivileged agent speaks
over it. The mover parses the place that the agent reports, and writes the tunnel's file, as ``up``
does. It reports its progress in lines of JSON.

It exits with 0 if the tunnel has moved, with 2 if the helper should try again, and with 3 if no
standby is left. With any other code, it may have been half-way, and has to go on.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from typing import Any

from fs_market.errors import MarketError
from fs_tunnel import lifecycle
from fs_tunnel.config import check_name, load
from fs_tunnel.helper.starts import CODEC, MoverStart
from fs_tunnel.linux.daemon import system_log
from fs_tunnel.linux.firewall.permitted_negotiation import connect_marked
from fs_tunnel.roles.client import places, standbys
from fs_tunnel.roles.client.standbys import StandBy, Standbys
from fs_tunnel.roles.conversation import conversation, senseless
from fs_tunnel.roles.market_files import MarketFiles
from fs_tunnel.roles.running import client_tunnel
from fs_tunnel.roles.starts import OrderStart
from fs_tunnel.roles.telling import tell
from fs_wire import libc
from fs_wire.errors import FlowShieldError, SystemChangeError
from fs_wire.types import Endpoint

_CONNECT_WITHIN, _ORDER_WITHIN = 3.0, 8.0  # seconds
_PERMITTED_FOR = 15  # seconds
_MAX_LINE = 1 << 16  # bytes
_HAS_MOVED, _HALF_WAY, _TRY_AGAIN, _NOBODY_IS_LEFT = range(4)  # exit codes
_NOBODY_LEFT = (
    "nothing leaves this host, and no standby is left; run fs-tunnel down {name}, "
    "then up with other providers"
)
_NOBODY_ANSWERS = "nothing leaves this host; no standby answers, and the tunnel tries again"

log = logging.getLogger("fs_tunnel.moving")


def main() -> None:
    """Move the tunnel, and exit with one of the codes above."""
    line = sys.stdin.buffer.readline(_MAX_LINE)
    logging.basicConfig(
        level=logging.INFO, handlers=[system_log("fs-tunnel")], format="%(levelname)s %(message)s"
    )
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        start = CODEC.from_line(MoverStart, line)
        if os.getppid() != start.parent:
            sys.exit(_TRY_AGAIN)
        mover = _Mover(check_name(start.name))
    except FlowShieldError as error:
        log.error("%s", error)
        sys.exit(_TRY_AGAIN)
    try:
        code = asyncio.run(mover.run(start.why))
    except (FlowShieldError, OSError) as error:
        log.error("%s", error)
        tell(
            {
                "state": "blocked",
                "error": f"nothing leaves this host; the tunnel tries again: {error}",
            }
        )
        code = _HALF_WAY if mover.is_half_way else _TRY_AGAIN
    sys.exit(code)


class _Mover:
    def __init__(self, name: str) -> None:
        self._name, self._files = name, MarketFiles(name)
        found = standbys.read(self._files.standbys)
        if found is None:
            raise SystemChangeError(f"{name} has no standbys; start it with fs-tunnel up")
        self._standbys = found

    @property
    def is_half_way(self) -> bool:
        """Whether a standby gave a place, and the tunnel has not moved there yet."""
        return self._standbys.intention is not None

    async def run(self, why: str) -> int:
        """Move the tunnel to the first standby that gives a place, and return the exit code."""
        if not self.is_half_way:
            for each in self._standbys.ready:
                if await self._ask(each, why):
                    break
        if self.is_half_way:
            # In a thread, because netlink runs an event loop of its own.
            await asyncio.to_thread(self._move)
            return _HAS_MOVED
        is_anybody_left = bool(self._standbys.ready)
        error = _NOBODY_ANSWERS if is_anybody_left else _NOBODY_LEFT.format(name=self._name)
        tell({"state": "blocked", "why": why, "error": error})
        return _TRY_AGAIN if is_anybody_left else _NOBODY_IS_LEFT

    async def _ask(self, standby: StandBy, why: str) -> bool:
        """Whether the standby gives a place."""
        tell({"state": "moving", "why": why, "to": standby.provider})
        try:
            told = await self._order(standby)
            place = places.parse_place_untrusted(told, standby.start.dealing.tunnel_key)
        except MarketError as error:
            log.warning("%s does not take over: %s", standby.provider, error)
            self._keep(self._standbys.refused(standby, str(error)))
            return False
        except (OSError, TimeoutError) as error:
            log.warning("%s does not answer: %s", standby.provider, error or "in time")
            return False
        self._keep(self._standbys.decided(standby, place, int(time.time()), why))
        return True

    async def _order(self, standby: StandBy) -> dict[str, Any]:
        """The place, as the agent tells it."""
        there = Endpoint(standby.address, standby.port)
        with lifecycle.permitting_negotiation(self._name, there, _PERMITTED_FOR) as mark:
            sock = await asyncio.to_thread(
                connect_marked, standby.address, standby.port, mark, _CONNECT_WITHIN
            )
            with sock:
                async with asyncio.timeout(_ORDER_WITHIN):
                    return await _negotiate(sock, standby.start)

    def _move(self) -> None:
        intention, files = self._standbys.intention, self._files
        assert intention is not None
        tell({"state": "moving", "why": intention.move.why, "to": intention.move.target})
        private = load(files.conf).interface.private_key
        places.take(files, private, intention.place, intention.start.dealing)
        config = load(files.conf)
        lifecycle.move(config, *client_tunnel(config, self._standbys.protection))
        self._keep(self._standbys.moved())
        move = intention.move
        log.warning("%s moved from %s to %s: %s", self._name, move.origin, move.target, move.why)

    def _keep(self, changed: Standbys) -> None:
        self._standbys = changed
        standbys.write(self._files.standbys, changed)


async def _negotiate(sock: socket.socket, start: OrderStart) -> dict[str, Any]:
    async with conversation(start, {"negotiation": sock.fileno()}) as agent:
        async for said in agent.hear():
            match said:
                case {"configured": dict(place)}:
                    return place
                case _:
                    raise senseless()
    raise ConnectionResetError("the agent hung up")


if __name__ == "__main__":
    main()
