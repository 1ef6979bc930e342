# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Run an engine, the process of one tunnel: it joins a device, its pump, timers and sockets.

The engine makes no protocol decisions; ``proto`` makes them.  It runs on one event loop.
Handshakes get only a slice of each turn, so that a flood of them does not starve peers that have a
session.

Like other implementations of WireGuard, the engine answers on UAPI from the start.  It opens its
UDP port while the interface is up.  It ends when the TUN or the UAPI socket is deleted.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop

from fs_tunnel.engine import uapi_server
from fs_tunnel.engine.control_verbs import ControlVerbs
from fs_tunnel.engine.key_log import KeyLog
from fs_tunnel.engine.options import EngineOptions
from fs_tunnel.engine.peer_settings import apply_update, describe
from fs_tunnel.engine.pump import Hooks
from fs_tunnel.engine.pumps import make_pump
from fs_tunnel.engine.udp import check_port_is_free
from fs_tunnel.linux.confinement.sandbox import Sandbox, confine
from fs_tunnel.linux.routing.link_watch import LinkState, LinkWatch
from fs_tunnel.linux.routing.tun import Tun
from fs_tunnel.proto.device import Device
from fs_wire import control, uapi
from fs_wire.errors import SystemChangeError

log = logging.getLogger(__name__)

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})

NICENESS = -10  # of packet threads, as native/pump.c has it
_HANDSHAKES_A_TURN = 8  # about a millisecond


class Engine:
    """One running interface."""

    def __init__(
        self,
        tun: Tun,
        uapi_socket: socket.socket,
        control_socket: socket.socket,
        options: EngineOptions,
    ) -> None:
        self._tun = tun
        self._uapi_socket = uapi_socket
        self._control_socket = control_socket
        self._scale = options.clock_scale
        self._pump = make_pump(tun, options.threads, self.now, self._scale)
        self._device = Device(entropy=os.urandom, wall_time_ns=time.time_ns, path=self._pump.path)
        if options.key_log is not None:
            self._device.log_keys_to(KeyLog(options.key_log).write)
        self._is_up = False
        self._listen_port = 0
        self._fwmark = 0
        self._watch = LinkWatch(tun)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._handshakes_scheduled = False
        self._stopped = asyncio.Event()
        self._sandbox: Sandbox | None = None
        self._low_ports = options.low_ports
        self._control = ControlVerbs(self, self._device)

    def confine(self) -> None:
        """Give up all rights that an engine does not need, while there is one thread.

        SystemChangeError if the kernel refuses.
        """
        sockets = (uapi.socket_path(self._tun.name), control.socket_path(self._tun.name))
        try:
            self._sandbox = confine(sockets, low_ports=self._low_ports, nice=NICENESS)
        except OSError as error:
            raise SystemChangeError(
                f"the engine cannot be confined: {error.strerror}; "
                "run it with CAP_NET_ADMIN, or with FS_WG_SANDBOX=off"
            ) from None

    async def run(self) -> None:
        """Serve until the TUN or the UAPI socket is deleted, or a signal or a request ends us."""
        loop = self._loop = asyncio.get_running_loop()
        for each in STOP_SIGNALS:
            loop.add_signal_handler(each, self._stopped.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        uapi_path = uapi.socket_path(self._tun.name)
        inode = _inode(uapi_path)
        uapi_listener = await uapi_server.serve(self._uapi_socket, self._answer_uapi)
        await self._control.start(self._control_socket)
        loop.add_reader(self._watch.fileno(), self.check_link)
        device = self._device
        self._pump.start(Hooks(self._work, self.check_link, device.not_sent, device.forget_local))
        try:
            while not self._stopped.is_set():
                self.check_link()
                if inode is None or _inode(uapi_path) != inode:
                    log.info("the UAPI socket was deleted")
                    break
                await self._wait_a_moment()
        finally:
            self._device.shut_down()
            self._pump.close()
            # The loop must forget a file before another file gets its number.
            self._pump.stop()
            self._tun.close()
            loop.remove_reader(self._watch.fileno())
            self._watch.close()
            uapi_listener.close()
            self._control.close()
            control.socket_path(self._tun.name).unlink(missing_ok=True)
            if inode is not None and _inode(uapi_path) == inode:
                uapi_path.unlink()

    # The interface.

    async def _wait_a_moment(self) -> None:
        # Netlink reports changes at once, unless the TUN is in another network namespace.
        seconds = 1.0 if self._is_up else 0.05
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)

    def check_link(self) -> None:
        state = self._watch.state()
        self._device.mtu = self._tun.mtu
        if state is LinkState.GONE:
            log.info("the interface was deleted")
            self._stopped.set()
        elif state is LinkState.UP and not self._is_up:
            self._come_up()
        elif state is LinkState.DOWN and self._is_up:
            self._is_up = False
            self._device.shut_down()
            self._pump.close()

    def _come_up(self) -> None:
        try:
            self._listen_port = self._pump.open(self._listen_port, self._fwmark)
        except OSError as error:
            log.error("UDP port %d: %s; set another listen port", self._listen_port, error.strerror)
            return
        self._is_up = True
        self._device.come_up(self.now())
        self.flush()

    # Work.

    def now(self) -> float:
        # BOOTTIME goes on during suspend, so both sides agree on the age of keys.
        return time.clock_gettime(time.CLOCK_BOOTTIME) * self._scale

    def _work(self) -> None:
        """Handle the events of the packet path."""
        if self._handshakes_scheduled:
            self.flush()
        else:
            self._process_handshakes()

    def _process_handshakes(self) -> None:
        self._handshakes_scheduled = False
        now = self.now()
        self._device.handle_events(now)
        self._device.process_handshakes(now, _HANDSHAKES_A_TURN)
        if self._device.queued_handshakes:
            self._handshakes_scheduled = True
            self._loop.call_soon(self._process_handshakes)
        self.flush()

    def flush(self) -> None:
        """Pass on all output of the device."""
        self._device.handle_events(self.now())
        self._pump.send(self._device.take_datagrams())
        for peer, notice in self._device.take_notices():
            self._control.tell(peer, notice)
        for server, seen in self._device.take_observations():
            self._control.tell_observed(server, seen)
        self._schedule_timer()

    def _schedule_timer(self) -> None:
        due = self._device.next_timer()
        if due is None or due >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_later(
            max(0.0, (due - self.now()) / self._scale), self._handle_timers
        )

    def _handle_timers(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        self._device.handle_timers(self.now())
        self.flush()

    # Settings and questions.

    @property
    def listen_port(self) -> int:
        """The UDP port; 0 before the interface came up for the first time."""
        return self._listen_port

    def stop(self) -> None:
        """End ``run``."""
        self._stopped.set()

    def describe(self) -> Mapping[str, Any]:
        """The engine's own part of ``status``; the verbs add the peers."""
        return {
            "interface": self._tun.name,
            "pid": os.getpid(),
            "up": self._is_up,
            "listen_port": self._listen_port,
            "mtu": self._device.mtu,
            "drops": dict(self._device.drops + Counter(self._pump.drops())),
            "packet_path": dict(self._pump.describe()),
            "sandbox": None if self._sandbox is None else self._sandbox._asdict(),
        }

    def _answer_uapi(self, request: str) -> str:
        try:
            operation, _, body = request.partition("\n")
            if operation == "get=1":
                status = describe(self._device, self._listen_port, self._fwmark)
                return f"{uapi.render_get(status)}errno=0\n\n"
            if operation == "set=1":
                self.apply(uapi.parse_set_untrusted(body))
                return "errno=0\n\n"
            raise uapi.UapiError(errno.EINVAL)
        except uapi.UapiError as error:
            return f"errno=-{error.errno}\n\n"  # negative, as wg expects
        except OSError as error:
            log.error("configuration refused: %s", error.strerror)
            return f"errno=-{error.errno or errno.EIO}\n\n"

    def apply(self, update: uapi.DeviceUpdate) -> None:
        # The port comes first, since only this setting can fail.
        if update.listen_port is not None and update.listen_port != self._listen_port:
            self._change_port(update.listen_port)
        if update.fwmark is not None:
            self._fwmark = update.fwmark
            self._pump.set_fwmark(update.fwmark)
        apply_update(self._device, update, self.now())
        self.flush()

    def _change_port(self, port: int) -> None:
        if not self._is_up:
            if port:
                check_port_is_free(port)
            self._listen_port = port
            return
        self._pump.close()
        self._is_up = False
        try:
            self._listen_port = self._pump.open(port, self._fwmark)
        except OSError:
            self._pump.open(self._listen_port, self._fwmark)
            self._is_up = True
            raise
        self._is_up = True


def run(engine: Engine) -> None:
    """Run an engine to its end, in this process."""
    uvloop.run(engine.run())


def _inode(path: Path) -> int | None:
    """A key that tells a file from another of the same name; None if there is no file."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
