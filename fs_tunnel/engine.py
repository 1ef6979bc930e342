"""The engine: one process a tunnel, which pumps between TUN, UDP and the sans-IO device.

It holds no protocol decisions; those are in ``proto``.  It runs on one event loop, takes datagrams
and packets in batches, and lets handshakes use only a slice of each turn, so that a flood of them
does not starve those who have a session.

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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from fs_tunnel import control, uapi, uapi_server
from fs_tunnel.errors import UsageError
from fs_tunnel.key_log import KeyLog
from fs_tunnel.linux.link_watch import LinkState, LinkWatch
from fs_tunnel.linux.tun import Tun
from fs_tunnel.peer_settings import apply_update, describe
from fs_tunnel.proto.device import Device
from fs_tunnel.proto.peer import Outgoing
from fs_tunnel.udp import UdpSockets, check_port_is_free

log = logging.getLogger(__name__)

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})

_BATCH = 128  # datagrams or packets a turn
_HANDSHAKES_A_TURN = 8  # about a millisecond
_MAX_PACKET = 65535
_UNSENT_LIMIT = 4096  # datagrams held while a socket buffer is full


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What a test or a debugging session may ask of an engine."""

    clock_scale: float = 1.0  # how many protocol seconds pass in one second
    key_log: Path | None = None

    @classmethod
    def from_environment(cls) -> "EngineOptions":
        """FS_WG_CLOCK_SCALE and FS_WG_KEYLOG: not for production, hence not options.

        UsageError where the scale is not a positive number.
        """
        key_log = os.environ.get("FS_WG_KEYLOG")
        try:
            scale = float(os.environ.get("FS_WG_CLOCK_SCALE", "1"))
            if not 0 < scale < float("inf"):
                raise ValueError
        except ValueError:
            raise UsageError("FS_WG_CLOCK_SCALE is a positive number; unset it") from None
        return cls(scale, Path(key_log) if key_log else None)


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
        self._device = Device(entropy=os.urandom, wall_time_ns=time.time_ns)
        if options.key_log is not None:
            self._device.log_keys_to(KeyLog(options.key_log).write)
        self._udp: UdpSockets | None = None
        self._listen_port = 0
        self._fwmark = 0
        self._watch = LinkWatch(tun)
        self._unsent: list[Outgoing] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._handshakes_scheduled = False
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Serve until the TUN or the UAPI socket is deleted, a signal comes, or we are told to."""
        loop = self._loop = asyncio.get_running_loop()
        for each in STOP_SIGNALS:
            loop.add_signal_handler(each, self._stopped.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        uapi_path = uapi.socket_path(self._tun.name)
        inode = _inode(uapi_path)
        servers = [
            await uapi_server.serve(self._uapi_socket, self._answer_uapi),
            await control.serve(self._control_socket, self._answer),
        ]
        loop.add_reader(self._watch.fileno(), self._check_link)
        loop.add_reader(self._tun.fileno(), self._tun_readable)
        try:
            while not self._stopped.is_set():
                self._check_link()
                if inode is None or _inode(uapi_path) != inode:
                    log.info("the UAPI socket was deleted")
                    break
                await self._wait_a_moment()
        finally:
            self._device.shut_down()
            self._close_udp()
            self._tun.close()
            self._watch.close()
            for server in servers:
                server.close()
            control.socket_path(self._tun.name).unlink(missing_ok=True)
            if inode is not None and _inode(uapi_path) == inode:
                uapi_path.unlink()

    # The interface.

    async def _wait_a_moment(self) -> None:
        # Netlink tells of changes at once, unless the TUN is in another network namespace.
        seconds = 1.0 if self._udp is not None else 0.05
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)

    def _check_link(self) -> None:
        state = self._watch.state()
        self._device.mtu = self._tun.mtu
        if state is LinkState.GONE:
            log.info("the interface was deleted")
            self._stopped.set()
        elif state is LinkState.UP and self._udp is None:
            self._come_up()
        elif state is LinkState.DOWN and self._udp is not None:
            self._device.shut_down()
            self._close_udp()

    def _come_up(self) -> None:
        try:
            self._open_udp()
        except OSError as error:
            log.error("UDP port %d: %s; set another listen port", self._listen_port, error.strerror)
            return
        self._device.come_up(self._now())
        self._flush()

    def _open_udp(self) -> None:
        self._udp = UdpSockets(self._listen_port, self._fwmark)
        self._listen_port = self._udp.port
        for sock in self._udp.sockets:
            self._loop.add_reader(sock, self._udp_readable, sock)

    def _close_udp(self) -> None:
        if self._udp is not None:
            for sock in self._udp.sockets:
                self._loop.remove_reader(sock)
                self._loop.remove_writer(sock)
            self._udp.close()
            self._udp = None
            self._unsent.clear()

    # The pump.

    def _now(self) -> float:
        # BOOTTIME goes on during suspend: after it, keys are as old as the other side thinks.
        return time.clock_gettime(time.CLOCK_BOOTTIME) * self._scale

    def _udp_readable(self, sock: socket.socket) -> None:
        if self._udp is None:
            return
        now, receive = self._now(), self._device.receive_datagram
        for data, source, local in self._udp.receive_batch(sock, _BATCH):
            receive(data, source, now, local)
        if self._handshakes_scheduled:
            self._flush()
        else:
            self._process_handshakes()

    def _tun_readable(self) -> None:
        if self._udp is None:
            self._check_link()  # a packet may be quicker than the news that the link is up
        now, receive, fd = self._now(), self._device.receive_packet, self._tun.fileno()
        try:
            for _ in range(_BATCH):
                receive(os.read(fd, _MAX_PACKET), now)
        except BlockingIOError:
            pass
        except OSError as error:
            self._tun_failed(error)
        self._flush()

    def _process_handshakes(self) -> None:
        self._handshakes_scheduled = False
        self._device.process_handshakes(self._now(), _HANDSHAKES_A_TURN)
        if self._device.queued_handshakes and not self._handshakes_scheduled:
            self._handshakes_scheduled = True
            self._loop.call_soon(self._process_handshakes)
        self._flush()

    def _flush(self) -> None:
        """Hand on all that the device has to say."""
        fd = self._tun.fileno()
        for packet in self._device.take_packets():
            try:
                os.write(fd, packet)
            except BlockingIOError:
                self._device.drops["tun_full"] += 1
            except OSError as error:
                self._device.drops["tun_refused"] += 1
                if error.errno not in (errno.EINVAL, errno.ENOBUFS, errno.ENOMEM):
                    self._tun_failed(error)
                    break
        self._send(self._device.take_datagrams())
        self._schedule_timer()

    def _send(self, datagrams: list[Outgoing]) -> None:
        if not datagrams:
            return
        if self._udp is None:
            self._count_unsent(datagrams, "interface_down")
            return
        if self._unsent:
            self._hold_back(datagrams)
            return
        send = self._udp.send
        for position, outgoing in enumerate(datagrams):
            try:
                send(outgoing)
            except BlockingIOError:
                self._hold_back(datagrams[position:])
                break
            except OSError as error:
                log.debug("sending: %s", error)
                self._count_unsent([outgoing], "send_failed")

    def _hold_back(self, datagrams: list[Outgoing]) -> None:
        """The socket buffer is full: stop reading the TUN until it drains."""
        assert self._udp is not None
        if not self._unsent and datagrams:
            self._loop.remove_reader(self._tun.fileno())
            sock = self._udp.socket_for(datagrams[0].endpoint)
            self._loop.add_writer(sock, self._resume_sending, sock)
        room = _UNSENT_LIMIT - len(self._unsent)
        self._unsent += datagrams[:room]
        self._count_unsent(datagrams[room:], "send_buffer_full")

    def _resume_sending(self, sock: socket.socket) -> None:
        self._loop.remove_writer(sock)
        waiting, self._unsent = self._unsent, []
        self._send(waiting)
        if not self._unsent:
            self._loop.add_reader(self._tun.fileno(), self._tun_readable)

    def _count_unsent(self, datagrams: list[Outgoing], reason: str) -> None:
        self._device.drops[reason] += len(datagrams)
        for outgoing in datagrams:
            if outgoing.peer is not None:
                outgoing.peer.not_sent(len(outgoing.data))

    def _tun_failed(self, error: OSError) -> None:
        if error.errno != errno.EIO:  # EIO: the interface is down, which is no failure
            log.debug("the TUN: %s", error)
        self._check_link()

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
            if self._udp is not None:
                self._udp.set_fwmark(update.fwmark)
        apply_update(self._device, update, self._now())
        self._flush()

    def _change_port(self, port: int) -> None:
        if self._udp is None:
            if port:
                check_port_is_free(port)
            self._listen_port = port
            return
        before = self._listen_port
        self._close_udp()
        self._listen_port = port
        try:
            self._open_udp()
        except OSError:
            self._listen_port = before
            self._open_udp()
            raise

    def _answer(self, op: str) -> control.Reply:
        operations: dict[str, Callable[[], control.Reply]] = {
            "status": self._status,
            "stop": self._stop,
        }
        return operations[op]()

    def _stop(self) -> control.Reply:
        self._stopped.set()
        return {}

    def _status(self) -> control.Reply:
        peers: dict[str, dict[str, Any]] = {
            peer.public_key.to_base64(): {
                "rx_bytes": peer.rx_bytes,
                "tx_bytes": peer.tx_bytes,
                "rx_packets": peer.rx_packets,
                "tx_packets": peer.tx_packets,
                "latest_handshake_ns": peer.latest_handshake_ns,
            }
            for peer in self._device.peers.values()
        }
        return {
            "interface": self._tun.name,
            "pid": os.getpid(),
            "up": self._udp is not None,
            "listen_port": self._listen_port,
            "mtu": self._device.mtu,
            "peers": peers,
            "drops": dict(self._device.drops),
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
