"""The engine: one process a tunnel, which holds a device, its pump, timers and sockets together.

It holds no protocol decisions; those are in ``proto``.  It runs on one event loop, and lets
handshakes use only a slice of each turn, so that a flood of them does not starve those who have a
session.

Like the other implementations, it answers on UAPI from the start, opens its UDP port while the
interface is up, and ends when the TUN or the UAPI socket is deleted.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from fs_tunnel.engine import uapi_server
from fs_tunnel.engine.control_server import (
    ControlServer,
    describe_limits,
    parse_admission_untrusted,
    parse_endpoints_untrusted,
    parse_limits_untrusted,
    parse_peer_untrusted,
)
from fs_tunnel.engine.key_log import KeyLog
from fs_tunnel.engine.peer_settings import apply_update, describe
from fs_tunnel.engine.pump import Hooks
from fs_tunnel.engine.pumps import make_pump, threads_from_environment
from fs_tunnel.engine.udp import check_port_is_free
from fs_tunnel.linux.confinement.sandbox import Sandbox, confine
from fs_tunnel.linux.routing.link_watch import LinkState, LinkWatch
from fs_tunnel.linux.routing.tun import Tun
from fs_tunnel.proto.device import Device
from fs_tunnel.proto.observer import MAX_SERVERS
from fs_tunnel.proto.path import CreditLow, EndpointMoved
from fs_tunnel.proto.peer import Peer
from fs_wire import control, uapi
from fs_wire.errors import SystemChangeError, UsageError

log = logging.getLogger(__name__)

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})

NICENESS = -10  # of packet threads, as native/pump.c has it
_HANDSHAKES_A_TURN = 8  # about a millisecond
_MAX_CALLED = 8  # endpoints of a peer, called at once
_GREETING_PAUSE = 0.005  # seconds between two turns of initiations: those who call go first


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What a test or a debugging session may ask of an engine."""

    clock_scale: float = 1.0  # how many protocol seconds pass in one second
    key_log: Path | None = None
    threads: int = 0  # of the native packet path; 0 is the path in Python
    is_confined: bool = True
    low_ports: bool = False  # whether a UDP port below 1024 may be asked for

    @classmethod
    def from_environment(cls) -> "EngineOptions":
        """FS_WG_CLOCK_SCALE and FS_WG_KEYLOG: not for production, hence not options.

        FS_WG_DATAPLANE and FS_WG_THREADS choose the packet path; see ``pumps``.  FS_WG_SANDBOX=off
        leaves the process all that root may do, for debuggers and sanitizers; FS_WG_LOW_PORTS=1
        leaves it ports below 1024.  UsageError for a value that is none.
        """
        key_log = os.environ.get("FS_WG_KEYLOG")
        try:
            scale = float(os.environ.get("FS_WG_CLOCK_SCALE", "1"))
            if not 0 < scale < float("inf"):
                raise ValueError
        except ValueError:
            raise UsageError("FS_WG_CLOCK_SCALE is a positive number; unset it") from None
        return cls(
            scale,
            Path(key_log) if key_log else None,
            threads_from_environment(),
            is_confined=os.environ.get("FS_WG_SANDBOX") != "off",
            low_ports=os.environ.get("FS_WG_LOW_PORTS") == "1",
        )


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
        self._pump = make_pump(tun, options.threads, self._now, self._scale)
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
        self._control = ControlServer(
            {
                "status": self._status,
                "count": self._count,
                "limit": self._limit,
                "admit": self._admit,
                "remove": self._remove,
                "greet": self._greet,
                "observe": self._observe,
                "call": self._call,
                "stop": self._stop,
            }
        )

    def confine(self) -> None:
        """Give up all that an engine does not need, while there is one thread.

        SystemChangeError where the kernel refuses.
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
        """Serve until the TUN or the UAPI socket is deleted, a signal comes, or we are told to."""
        loop = self._loop = asyncio.get_running_loop()
        for each in STOP_SIGNALS:
            loop.add_signal_handler(each, self._stopped.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        uapi_path = uapi.socket_path(self._tun.name)
        inode = _inode(uapi_path)
        uapi_listener = await uapi_server.serve(self._uapi_socket, self._answer_uapi)
        await self._control.start(self._control_socket)
        loop.add_reader(self._watch.fileno(), self._check_link)
        device = self._device
        self._pump.start(Hooks(self._work, self._check_link, device.not_sent, device.forget_local))
        try:
            while not self._stopped.is_set():
                self._check_link()
                if inode is None or _inode(uapi_path) != inode:
                    log.info("the UAPI socket was deleted")
                    break
                await self._wait_a_moment()
        finally:
            self._device.shut_down()
            self._pump.close()
            # The loop must forget a file before its number can be another's.
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
        # Netlink tells of changes at once, unless the TUN is in another network namespace.
        seconds = 1.0 if self._is_up else 0.05
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)

    def _check_link(self) -> None:
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
        self._device.come_up(self._now())
        self._flush()

    # Work.

    def _now(self) -> float:
        # BOOTTIME goes on during suspend: after it, keys are as old as the other side thinks.
        return time.clock_gettime(time.CLOCK_BOOTTIME) * self._scale

    def _work(self) -> None:
        """The packet path has something to tell."""
        if self._handshakes_scheduled:
            self._flush()
        else:
            self._process_handshakes()

    def _process_handshakes(self) -> None:
        self._handshakes_scheduled = False
        now = self._now()
        self._device.handle_events(now)
        self._device.process_handshakes(now, _HANDSHAKES_A_TURN)
        if self._device.queued_handshakes:
            self._handshakes_scheduled = True
            self._loop.call_soon(self._process_handshakes)
        self._flush()

    def _flush(self) -> None:
        """Hand on all that the device has to say."""
        self._device.handle_events(self._now())
        self._pump.send(self._device.take_datagrams())
        for peer, notice in self._device.take_notices():
            self._tell(peer, notice)
        for server, seen in self._device.take_observations():
            self._control.tell("observed", server=str(server), endpoint=str(seen))
        self._schedule_timer()

    def _schedule_timer(self) -> None:
        due = self._device.next_timer()
        if due is None or due >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_later(
            max(0.0, (due - self._now()) / self._scale), self._handle_timers
        )

    def _handle_timers(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        self._device.handle_timers(self._now())
        self._flush()

    # Settings and questions.

    def _answer_uapi(self, request: str) -> str:
        try:
            operation, _, body = request.partition("\n")
            if operation == "get=1":
                status = describe(self._device, self._listen_port, self._fwmark)
                return f"{uapi.render_get(status)}errno=0\n\n"
            if operation == "set=1":
                self._apply(uapi.parse_set_untrusted(body))
                return "errno=0\n\n"
            raise uapi.UapiError(errno.EINVAL)
        except uapi.UapiError as error:
            return f"errno=-{error.errno}\n\n"  # negative, as wg expects
        except OSError as error:
            log.error("configuration refused: %s", error.strerror)
            return f"errno=-{error.errno or errno.EIO}\n\n"

    def _apply(self, update: uapi.DeviceUpdate) -> None:
        # The port first: it is the one setting that may be refused.
        if update.listen_port is not None and update.listen_port != self._listen_port:
            self._change_port(update.listen_port)
        if update.fwmark is not None:
            self._fwmark = update.fwmark
            self._pump.set_fwmark(update.fwmark)
        apply_update(self._device, update, self._now())
        self._flush()

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

    def _stop(self, _: control.Message) -> control.Message:
        self._stopped.set()
        return {}

    def _greet(self, _: control.Message) -> control.Message:
        self._check_link()
        self._greet_some([peer for peer in self._device.peers.values() if peer.endpoint])
        return {}

    def _greet_some(self, peers: list[Peer]) -> None:
        """A few at a time, so that who has a session, or asks for one, does not wait."""
        for peer in peers[:_HANDSHAKES_A_TURN]:
            if self._device.peers.get(peer.public_key) is peer:
                peer.greet(self._now())
        self._flush()
        if rest := peers[_HANDSHAKES_A_TURN:]:
            self._loop.call_later(_GREETING_PAUSE, self._greet_some, rest)

    def _observe(self, request: control.Message) -> control.Message:
        self._check_link()
        self._device.observe(
            parse_endpoints_untrusted(request, "servers", MAX_SERVERS), self._now()
        )
        self._flush()
        return {"listen_port": self._listen_port}

    def _call(self, request: control.Message) -> control.Message:
        endpoints = parse_endpoints_untrusted(request, "endpoints", _MAX_CALLED)
        peer = self._device.peers.get(parse_peer_untrusted(request))
        if peer is None:
            raise UsageError("there is no such peer; add it first")
        self._check_link()
        has_session = peer.call(endpoints, self._now())
        self._flush()
        return {"has_session": has_session}

    def _count(self, request: control.Message) -> control.Message:
        peer = self._device.peers.get(parse_peer_untrusted(request))
        if peer is None:
            return {"rx_bytes": 0, "tx_bytes": 0}
        return {"rx_bytes": peer.counters.rx_bytes, "tx_bytes": peer.counters.tx_bytes}

    def _admit(self, request: control.Message) -> control.Message:
        self._apply(uapi.DeviceUpdate(peers=(parse_admission_untrusted(request),)))
        return {}

    def _remove(self, request: control.Message) -> control.Message:
        peer = uapi.PeerUpdate(parse_peer_untrusted(request), remove=True)
        self._apply(uapi.DeviceUpdate(peers=(peer,)))
        return {}

    def _limit(self, request: control.Message) -> control.Message:
        peer = self._device.peers.get(parse_peer_untrusted(request))
        if peer is None:
            raise UsageError("there is no such peer; add it first")
        peer.limits = parse_limits_untrusted(request, peer.limits)
        return {}

    def _tell(self, peer: Peer, notice: CreditLow | EndpointMoved) -> None:
        name = peer.public_key.to_base64()
        match notice:
            case CreditLow():
                credit, used = peer.limits.credit, peer.credit_used
                self._control.tell("credit_low", peer=name, credit=credit, credit_used=used)
            case EndpointMoved():
                self._control.tell("endpoint_moved", peer=name, endpoint=str(peer.endpoint))

    def _status(self, _: control.Message) -> control.Message:
        peers: dict[str, dict[str, Any]] = {
            peer.public_key.to_base64(): {
                **peer.counters._asdict(),
                "endpoint": str(peer.endpoint) if peer.endpoint else None,
                "latest_handshake_ns": peer.latest_handshake_ns,
                "limits": describe_limits(peer.limits),
                "credit_used": peer.credit_used,
            }
            for peer in self._device.peers.values()
        }
        return {
            "interface": self._tun.name,
            "pid": os.getpid(),
            "up": self._is_up,
            "listen_port": self._listen_port,
            "mtu": self._device.mtu,
            "peers": peers,
            "drops": dict(self._device.drops + Counter(self._pump.drops())),
            "packet_path": dict(self._pump.describe()),
            "sandbox": None if self._sandbox is None else self._sandbox._asdict(),
        }


def run(engine: Engine) -> None:
    """Run an engine to its end, in this process."""
    uvloop.run(engine.run())


def _inode(path: Path) -> int | None:
    """What tells a file from another of the same name; None where there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
