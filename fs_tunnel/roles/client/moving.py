"""A tunnel whose provider is lost moves to a standby: ``python -m fs_tunnel.roles.client.moving``.

A tunnel's helper starts it, as root, with a line of JSON: the tunnel's name, and why. Who speaks to
the next provider is an agent without rights, over one connection that is made here; what comes of
it is parsed here, and becomes the tunnel's file, as at ``up``. Lines of JSON tell how it goes.

It exits with 0 where the tunnel has moved, with 2 where it is to be tried again, and with 3 where
nobody is left; else it may have been half-way, and has to go on.
"""

import asyncio
import json
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
from fs_tunnel.linux.daemon import system_log
from fs_tunnel.linux.firewall.permitted_negotiation import connect_marked
from fs_tunnel.roles.client import places, standbys
from fs_tunnel.roles.client.standbys import StandBy, Standbys
from fs_tunnel.roles.conversation import conversation, senseless
from fs_tunnel.roles.market_files import MarketFiles
from fs_tunnel.roles.running import client_tunnel
from fs_tunnel.roles.telling import tell
from fs_wire import libc
from fs_wire.errors import FlowShieldError, SystemChangeError
from fs_wire.types import Endpoint

_CONNECT_WITHIN, _ORDER_WITHIN = 3.0, 8.0  # seconds
_PERMITTED_FOR = 15  # seconds
_MAX_LINE = 1 << 16  # bytes
_HAS_MOVED, _HALF_WAY, _TRY_AGAIN, _NOBODY_IS_LEFT = range(4)  # exit codes
_NOBODY_LEFT = (
    "nothing leaves; nobody is left who stands by: fs-tunnel down {name}, then up with others"
)
_NOBODY_ANSWERS = "nothing leaves; nobody who stands by answers: it is tried again"

log = logging.getLogger("fs_tunnel.moving")


def main() -> None:
    """See above."""
    start = json.loads(sys.stdin.buffer.readline(_MAX_LINE))
    logging.basicConfig(
        level=logging.INFO, handlers=[system_log("fs-tunnel")], format="%(levelname)s %(message)s"
    )
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != start["parent"]:
        sys.exit(_TRY_AGAIN)
    try:
        mover = _Mover(check_name(start["name"]))
    except FlowShieldError as error:
        log.error("%s", error)
        sys.exit(_TRY_AGAIN)
    try:
        code = asyncio.run(mover.run(str(start["why"])))
    except (FlowShieldError, OSError) as error:
        log.error("%s", error)
        tell({"state": "blocked", "error": f"nothing leaves; it is tried again: {error}"})
        code = _HALF_WAY if mover.is_half_way else _TRY_AGAIN
    sys.exit(code)


class _Mover:
    def __init__(self, name: str) -> None:
        self._name, self._files = name, MarketFiles(name)
        found = standbys.read(self._files.standbys)
        if found is None:
            raise SystemChangeError(f"{name} has nobody who stands by; start it with fs-tunnel up")
        self._standbys = found

    @property
    def is_half_way(self) -> bool:
        """Whether a provider has given a place, to which the tunnel has not moved."""
        return self._standbys.intention is not None

    async def run(self, why: str) -> int:
        """Move the tunnel, if anybody takes it; the exit code."""
        if not self.is_half_way:
            for each in self._standbys.ready:
                if await self._ask(each, why):
                    break
        if self.is_half_way:
            # Netlink has a loop of its own.
            await asyncio.to_thread(self._move)
            return _HAS_MOVED
        is_anybody_left = bool(self._standbys.ready)
        error = _NOBODY_ANSWERS if is_anybody_left else _NOBODY_LEFT.format(name=self._name)
        tell({"state": "blocked", "why": why, "error": error})
        return _TRY_AGAIN if is_anybody_left else _NOBODY_IS_LEFT

    async def _ask(self, standby: StandBy, why: str) -> bool:
        """Whether it gives us a place."""
        tell({"state": "moving", "why": why, "to": standby.provider})
        try:
            place = await self._order(standby)
            places.parse_place_untrusted(place, standby.start["tunnel_key"])
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
        place = places.parse_place_untrusted(intention.place)
        places.take(files, private, place, intention.start)
        config = load(files.conf)
        lifecycle.move(config, *client_tunnel(config, self._standbys.to_protection()))
        self._keep(self._standbys.moved())
        move = intention.move
        log.warning("%s moved from %s to %s: %s", self._name, move.origin, move.target, move.why)

    def _keep(self, changed: Standbys) -> None:
        self._standbys = changed
        standbys.write(self._files.standbys, changed)


async def _negotiate(sock: socket.socket, start: dict[str, Any]) -> dict[str, Any]:
    descriptor = sock.fileno()
    what = {"role": "order", "sockets": {"negotiation": descriptor}}
    async with conversation({**start, **what}, (descriptor,)) as agent:
        async for said in agent.hear():
            match said:
                case {"configured": dict(place)}:
                    return place
                case _:
                    raise senseless()
    raise ConnectionResetError("it hung up")


if __name__ == "__main__":
    main()
