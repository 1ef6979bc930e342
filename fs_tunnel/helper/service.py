# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a helper does: it looks after one tunnel for as long as the tunnel is up.

It waits for the engine's end, saves the endpoints of a provider's clients, supervises the
provider's resolver, and changes the host for an agent. The tunnel's lock and journal keep helper
and commands apart. If a helper is killed, the next command does the rest of its work. With ``-f``
the helper runs in the foreground, and otherwise as a daemon.
"""

import asyncio
import contextlib
import logging
import os
import signal
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

from fs_tunnel import engine_process, leftovers
from fs_tunnel.helper import protocol
from fs_tunnel.helper.agents import Agent
from fs_tunnel.helper.clients import keep_endpoints
from fs_tunnel.helper.failover import Failover
from fs_tunnel.helper.permissions import Permissions
from fs_tunnel.helper.settings import Settings
from fs_tunnel.helper.supervisor import Supervisor
from fs_tunnel.leftovers import End
from fs_tunnel.linux.journal.journal import Journal
from fs_tunnel.linux.journal.state import helper_alone
from fs_tunnel.linux.routing import links
from fs_wire import control
from fs_wire.errors import FlowShieldError, SystemChangeError, UsageError
from fs_wire.unix_socket import listen_privately, peer_uid

log = logging.getLogger(__name__)

# Seconds for which a provider's firewall stays and waits for another engine. Without the firewall,
# the host would answer packets of its clients' connections, and so end them.
_PATIENCE = 10.0
_LOOK_EVERY = 0.1  # seconds
_TAKE_OVER = 2.0  # seconds to wait for another helper to end
_MAX_CONNECTIONS = 16
_IDLE = 10.0  # seconds for which a connection may be silent
_SETTLED = 5.0  # seconds until a helper loads what it needs to clean up without the program's files


def run(
    name: str,
    settings: Settings,
    *,
    ready: Callable[[], None],
    endings: Collection[signal.Signals],
    is_daemon: bool,
) -> End | None:
    """Look after tunnel ``name``, and return how it ended; None if the helper was told to end.

    ``ready`` is called once requests are answered. ``endings`` are the signals that end the helper;
    they are blocked afterwards. It raises SystemChangeError if there is another helper, or if the
    socket cannot be made.
    """
    with helper_alone(name, _TAKE_OVER):
        return asyncio.run(_Helper(name, settings, is_daemon=is_daemon).run(ready, endings))


class _Helper:
    def __init__(self, name: str, settings: Settings, *, is_daemon: bool) -> None:
        self._name = name
        self._settings = settings
        self._is_provider = getattr(Journal(name).header, "role", None) == "serve"
        self._is_daemon = is_daemon
        # In the foreground, a service manager starts us again, once all changes are undone.
        self._patience = _PATIENCE if self._is_provider and is_daemon else 0.0
        self._stopped = asyncio.Event()
        self._permissions = Permissions(name)
        self._supervisor = Supervisor(name)
        self._failover = Failover(name, self._pay_elsewhere)
        self._agent = Agent(name, self._failover.hear)
        self._connections: set[StreamWriter] = set()
        self._acting = asyncio.Lock()  # one request at a time

    async def run(
        self, ready: Callable[[], None], endings: Collection[signal.Signals]
    ) -> End | None:
        for each in endings:
            asyncio.get_running_loop().add_signal_handler(each, self._stopped.set)
        watching = asyncio.create_task(self._watch(ready))
        stopping = asyncio.create_task(self._stopped.wait())
        await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
        # The loop is about to give its handlers back. A second signal must not end us half-way.
        signal.pthread_sigmask(signal.SIG_BLOCK, endings)
        stopping.cancel()
        if watching.done():
            return watching.result()
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        return None

    async def _watch(self, ready: Callable[[], None]) -> End:
        path = control.helper_path(self._name)
        listener = listen_privately(path)
        try:
            inode = path.stat().st_ino
            server = await asyncio.start_unix_server(
                self._converse, sock=listener, limit=protocol.MAX_REQUEST_BYTES
            )
            # It takes a sixth of a second, for which no caller is to wait.
            loading = asyncio.get_running_loop().call_later(_SETTLED, links.load)
            try:
                self._configure(self._settings)
                ready()
                while True:
                    await self._one_engine()
                    end = await self._after_the_end()
                    if end is not End.STARTED:
                        return end
            finally:
                loading.cancel()
                server.close()
                for each in self._connections:
                    each.close()
                await self._failover.stop()
                await self._agent.stop(is_final=not self._is_daemon)
                await self._supervisor.stop()
        finally:
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == inode:
                    path.unlink()

    async def _one_engine(self) -> None:
        with engine_process.engine_process(self._name) as engine:
            tasks = []
            if self._is_provider:
                tasks.append(asyncio.create_task(keep_endpoints(self._name)))
            try:
                await _readable(engine)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _after_the_end(self) -> End:
        for _ in range(round(self._patience / _LOOK_EVERY)):
            if not leftovers.is_missed(self._name):
                break
            await asyncio.sleep(_LOOK_EVERY)
        # In a thread, because it waits for commands, and netlink runs an event loop of its own.
        return await asyncio.to_thread(leftovers.after_the_end, self._name)

    def _configure(self, settings: Settings) -> None:
        path = control.helper_path(self._name)
        if settings.agent:
            # Only owners can use the files in this directory, and the agent must pass through it.
            path.parent.chmod(0o711)
        os.chown(path, settings.agent, -1)
        self._settings = settings
        self._supervisor.supervise(settings.resolver)
        self._failover.allow()
        self._agent.supervise(settings.market)

    def _pay_elsewhere(self) -> None:
        """Run another agent: the tunnel has moved, and its agent's start has changed."""
        self._agent.supervise(self._settings.market)

    # Requests.

    async def _converse(self, reader: StreamReader, writer: StreamWriter) -> None:
        uid = peer_uid(writer)
        if uid not in (0, os.geteuid(), self._settings.agent) or (
            len(self._connections) >= _MAX_CONNECTIONS
        ):
            writer.close()
            return
        self._connections.add(writer)
        try:
            async for line in _lines(reader):
                is_root = uid in (0, os.geteuid())
                writer.write(await self._answer_untrusted(line, is_root=is_root))
                await writer.drain()
        except ValueError:  # the reader's, for a long line
            writer.write(protocol.render_refusal(UsageError(protocol.TOO_LONG)))
        except (OSError, TimeoutError):
            pass  # the other side went away or is silent
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _answer_untrusted(self, line: bytes, *, is_root: bool) -> bytes:
        try:
            request = protocol.parse_request_untrusted(line, tunnel=self._name, is_root=is_root)
            async with self._acting:
                return protocol.render_reply(**await self._act(request))
        except FlowShieldError as error:
            return protocol.render_refusal(error)
        except OSError as error:
            log.error("a request failed: %s", error)
            return protocol.render_refusal(SystemChangeError("the request failed; see the log"))

    async def _act(self, request: protocol.Request) -> dict[str, Any]:
        match request:
            case protocol.Do(change):
                await asyncio.to_thread(self._permissions.make, change)
            case protocol.Undo(change):
                await asyncio.to_thread(self._permissions.take_back, change)
            case protocol.Configure(settings):
                self._configure(settings)
            case protocol.Leave():
                if not self._is_daemon:
                    raise UsageError(
                        f"{self._name} has its helper in the foreground; stop that process"
                    )
                self._stopped.set()
            case protocol.Dismiss():
                await self._failover.stop()
                return {"market": await self._agent.dismiss()}
            case protocol.AskStatus():
                return {
                    "pid": os.getpid(),
                    "changes": self._permissions.in_force(),
                    "resolver": self._supervisor.pid,
                    "resolver_failure": self._supervisor.failure,
                    "market": self._agent.told,
                    "failover": self._failover.told,
                }
        return {}


async def _lines(reader: StreamReader) -> AsyncIterator[bytes]:
    while True:
        async with asyncio.timeout(_IDLE):
            line = await reader.readline()
        if not line.endswith(b"\n"):
            return
        yield line


async def _readable(descriptor: int) -> None:
    loop, came = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, came.set)
    try:
        await came.wait()
    finally:
        loop.remove_reader(descriptor)
