# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The program's side of the network process: it starts, calls, hears and restarts the process.

Each call has a deadline, and fails at once if the process dies. Such a call may or may not have had
its effect. The settings hold everything that a peer always does (listen, join, mesh). So a
restarted process does the same as the one before.
"""

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Protocol

from fs_net.bridge import Decision, Kind, Settings, Unpacker, pack
from fs_net.errors import HostFailed, HostGone, HostTimeout, NetError
from fs_net.launchers import Exec, Launcher, Process
from fs_net.session import Session
from fs_wire.errors import Malformed
from fs_wire.failure import describe, printable
from fs_wire.patience import patient

log = logging.getLogger(__name__)

DEADLINE = patient(10.0)  # s
_MARGIN = 1.0  # s by which our deadline is later than that of the process itself
_READY_WITHIN = patient(30.0)  # s
_GRACE = patient(5.0)  # s for the process to end by itself
_BACK_OFF = 0.25, 30.0  # s before a restart: at first, at most
_HEALTHY_AFTER = 60.0  # s; a process that ran longer is restarted as if for the first time
_READ = 65536  # bytes
_KEYS_AT_ONCE = 32 * 16384  # bytes in one frame


class Handlers(Protocol):
    """How the program handles incoming messages; peers are libp2p ids in binary form."""

    def on_gossip(self, peer: bytes, topic: str, data: bytes) -> Decision:
        """Decide whether to forward gossip that ``peer`` forwarded to us."""
        ...

    def on_message(self, peer: bytes, message: bytes) -> None:
        """Take a message that was sent to us alone."""
        ...

    async def on_question(self, peer: bytes, question: bytes) -> bytes:
        """Return the answer to a question."""
        ...


OnSession = Callable[[Session], Awaitable[None]]


class Host:
    """A libp2p host that runs in a process of its own."""

    def __init__(
        self,
        settings: Settings,
        handlers: Handlers,
        launcher: Launcher | None = None,
        *,
        on_session: OnSession | None = None,
    ) -> None:
        """``on_session`` serves a session until it returns; if it is None, no session is served."""
        self._settings, self._handlers, self._on_session = settings, handlers, on_session
        self._launcher = launcher or Exec()
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._process: Process | None = None
        self._ready = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._listed: bytes | None = None
        self.peer = b""
        self.starts = 0
        self._last_words = ""
        self.failure = ""  # why the last process ended; empty while one listens

    async def start(self, deadline: float = _READY_WITHIN) -> None:
        """Start the process and wait until it listens; raises HostGone if it does not."""
        self._supervisor = asyncio.create_task(self._supervise())
        try:
            await self.wait_ready(deadline)
        except BaseException:
            await self.close()
            raise

    async def wait_ready(self, deadline: float = _READY_WITHIN) -> None:
        """Wait until the process listens, for example after a restart."""
        try:
            async with asyncio.timeout(deadline):
                await self._ready.wait()
        except TimeoutError:
            why = self.failure or "it says nothing; read its log lines"
            raise HostGone(f"the network process does not start: {why}") from None

    async def close(self) -> None:
        """End the process; kill it if it does not end by itself."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor

    @property
    def pid(self) -> int | None:
        """The id of the running process, or None."""
        return self._process.pid if self._process and not self._process.has_ended else None

    async def info(self) -> dict[str, Any]:
        """Return the peer's id, its addresses, its connections and its counters."""
        info: dict[str, Any] = await self._call("info")
        return info

    async def connect(self, address: str, deadline: float = DEADLINE) -> bytes:
        """Dial ``/ip4/…/tcp/…/p2p/…`` and return the peer's id."""
        peer: bytes = await self._call("connect", address, deadline, within=deadline)
        return peer

    async def disconnect(self, peer: bytes) -> None:
        """Close all connections to a peer."""
        await self._call("disconnect", peer)

    async def ban(self, peer: bytes) -> None:
        """Close all connections of a peer, and refuse new ones for ten minutes."""
        await self._call("ban", peer)

    async def publish(self, topic: str, data: bytes) -> None:
        """Send ``data`` as gossip, about 32 KiB at most."""
        await self._call("publish", topic, data)

    async def send(self, peer: bytes, message: bytes, deadline: float = DEADLINE) -> None:
        """Send a message of at most 1 KiB to a connected peer alone."""
        await self._call("send", peer, message, deadline, within=deadline)

    async def ask(self, peer: bytes, question: bytes, deadline: float = DEADLINE) -> bytes:
        """Ask a connected peer; question and answer have at most 64 KiB."""
        answer: bytes = await self._call("ask", peer, question, deadline, within=deadline)
        return answer

    async def set_listed_keys(self, node_keys: Iterable[bytes]) -> None:
        """Store only records of these node keys (32 bytes each).

        Before the first call, the DHT stores records of any key. A full node calls this when its
        view of the chain changes. A restarted process is told the keys again without a further
        call.
        """
        self._listed = b"".join(node_keys)
        await self._tell_listed()

    async def _tell_listed(self) -> None:
        if self._listed is None:
            return
        told = self._listed
        for at in range(0, len(told) or 1, _KEYS_AT_ONCE):
            more = at + _KEYS_AT_ONCE < len(told)
            await self._call("list_keys", told[at : at + _KEYS_AT_ONCE], more)

    async def open_session(self, peer: bytes, deadline: float = DEADLINE) -> Session:
        """Open a session with a connected peer that serves sessions."""
        number = await self._call("open_session", peer, deadline, within=deadline)
        return Session(peer, number, self._call)

    async def put_record(self, node_key: bytes, record: bytes, deadline: float = DEADLINE) -> bool:
        """Store a signed record in the DHT; return whether other peers took it in time."""
        is_stored: bool = await self._call("put", node_key, record, deadline, within=deadline)
        return is_stored

    async def get_record(self, node_key: bytes, deadline: float = DEADLINE) -> bytes | None:
        """Return the latest record in the DHT that this key signed, whatever its age, or None."""
        record: bytes | None = await self._call("get", node_key, deadline, within=deadline)
        return record

    async def find_peer(self, peer: bytes, deadline: float = DEADLINE) -> list[str]:
        """Return the addresses that the DHT knows for a peer."""
        addresses: list[str] = await self._call("find_peer", peer, deadline, within=deadline)
        return addresses

    async def find_full_nodes(self, deadline: float = DEADLINE) -> dict[bytes, list[str]]:
        """Return the full nodes that the DHT knows: their ids and addresses."""
        found = await self._call("find_full_nodes", deadline, within=deadline)
        return dict(found)

    async def connected_full_nodes(self) -> dict[bytes, list[str]]:
        """Return the connected peers in the mesh of our topics: their ids and own addresses."""
        return dict(await self._call("connected_full_nodes"))

    async def reserve(self, relay: bytes, deadline: float = DEADLINE) -> bool:
        """Ask a connected full node to relay circuits to us, as ``…/p2p-circuit/p2p/…``."""
        granted: bool = await self._call("reserve", relay, deadline, within=deadline)
        return granted

    async def dial_circuit(
        self, address: str, deadline: float = DEADLINE, *, punch: bool = True
    ) -> bool:
        """Connect through a full node; return whether a direct connection followed.

        Without ``punch`` the call does not wait for a direct connection, which may follow later.
        """
        within = 2 * deadline if punch else deadline
        is_direct: bool = await self._call("dial_circuit", address, deadline, punch, within=within)
        return is_direct

    async def _call(self, name: str, *arguments: Any, within: float | None = DEADLINE) -> Any:
        if self._writer is None or not self._ready.is_set():
            raise HostGone("the network process is being started; try again in a second")
        number = next(self._numbers)
        answer = self._pending[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(None if within is None else within + _MARGIN):
                self._writer.write(pack(Kind.CALL, number, name, list(arguments)))
                await self._writer.drain()
                return await answer
        except TimeoutError:
            raise HostTimeout(f"{name} had no answer in {within:g} s; try again") from None
        except ConnectionError:
            raise HostGone(f"the network process ended during {name}; try again") from None
        finally:
            del self._pending[number]

    async def _supervise(self) -> None:
        shortest, longest = _BACK_OFF
        wait = shortest
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                await self._run_once()
            except Exception as error:  # noqa: BLE001 - another process may work where this failed
                self.failure = str(error) if isinstance(error, NetError) else describe(error)
            if loop.time() - started > _HEALTHY_AFTER:
                wait = shortest
            log.warning(
                "the network process ended (%s); it starts again in %.2g s", self.failure, wait
            )
            await asyncio.sleep(wait)
            wait = min(2 * wait, longest)

    async def _run_once(self) -> None:
        """Run one process from its start to its end."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = await self._launch(theirs)
            except BaseException:
                ours.close()
                raise
        self.starts += 1
        self._last_words = ""
        reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        try:
            self._writer.write(pack(Kind.TELL, "settings", self._settings.to_value()))
            unpacker = Unpacker()
            while data := await reader.read(_READ):
                for frame in unpacker.feed_untrusted(data):
                    self._take(frame)
        finally:
            self.failure = self._last_words or "it ended without a word"
            self._ready.clear()
            self._writer.close()
            self._writer = None
            for answer in self._pending.values():
                if not answer.done():
                    answer.set_exception(HostGone("the network process ended; try again"))
            await self._end(self._process)

    async def _launch(self, end: socket.socket) -> Process:
        """Start a process; leave none if this is cancelled."""
        launching = asyncio.ensure_future(self._launcher.launch(end))
        try:
            return await asyncio.shield(launching)
        except asyncio.CancelledError:
            process = await launching
            process.kill()
            await process.wait()
            raise

    async def _end(self, process: Process) -> None:
        """Wait for the process, which ends when its socket closes; kill it if it hangs."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE):
                    await process.wait()
        finally:
            if not process.has_ended:
                process.kill()
                await process.wait()

    def _take(self, frame: list[Any]) -> None:
        kind, *rest = frame
        if kind in (Kind.RESULT, Kind.FAILURE):
            answer = self._pending.get(rest[0])
            if answer is None or answer.done():
                return
            if kind == Kind.RESULT:
                answer.set_result(rest[1])
            else:
                answer.set_exception(HostFailed(f"{rest[1]}; check that peer and your network"))
        elif kind == Kind.TELL and rest[0] == "ready":
            self.peer = rest[1][0]["peer"]
            self.failure = ""
            self._ready.set()
            self._keep(self._tell_listed_again())
        elif kind == Kind.TELL and rest[0] == "failed":
            self._last_words = printable(str(rest[1][0]))
        elif kind == Kind.TELL and rest[0] == "message":
            self._handlers.on_message(*rest[1])
        elif kind == Kind.CALL:
            self._answer(*rest)
        else:
            raise Malformed("a frame of the network process makes no sense")

    def _answer(self, number: int, name: str, arguments: list[Any]) -> None:
        if name == "gossip":
            self._reply(number, self._handlers.on_gossip(*arguments))
        elif name == "question":
            self._keep(self._reply_later(number, self._handlers.on_question(*arguments)))
        elif name == "session":
            if self._on_session is not None:
                peer, session = arguments
                self._keep(self._serve(self._on_session, Session(peer, session, self._call)))
            self._reply(number, self._on_session is not None)
        else:
            raise Malformed("a call of the network process makes no sense")

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell_listed_again(self) -> None:
        with contextlib.suppress(HostGone):  # the next process is told
            await self._tell_listed()

    async def _serve(self, on_session: OnSession, session: Session) -> None:
        try:
            await on_session(session)
        finally:
            session.abort()

    async def _reply_later(self, number: int, answer: Awaitable[bytes]) -> None:
        self._reply(number, await answer)

    def _reply(self, number: int, value: Any) -> None:
        if self._writer is not None:
            self._writer.write(pack(Kind.RESULT, number, value))
