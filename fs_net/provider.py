# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A provider's connection to the network: it carries out what ``core.announcing`` decides."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fs_net.bridge import Decision, Settings
from fs_net.core import questions
from fs_net.core.announcer import Announcer, Keys
from fs_net.core.announcing import (
    Action,
    Announcing,
    Ask,
    Beat,
    Dial,
    Leave,
    Reserve,
    Search,
    Store,
)
from fs_net.core.records import ProviderRecord
from fs_net.errors import HostGone, NetError, Reason, Refused
from fs_net.host import Handlers, Host, OnSession
from fs_net.launchers import Launcher
from fs_net.peer_ids import key_of
from fs_wire.patience import patient

log = logging.getLogger(__name__)

_START_AGAIN = 60.0  # s after the network process failed to start
_OF_LIBP2P = patient(10.0)  # s for one call to libp2p


@dataclass(frozen=True, slots=True)
class Standing:
    """How well the network knows a provider: full nodes that take its records, and the errors."""

    peer: bytes
    taken_by: int
    connected: int
    reason: Reason | None
    reservations: int
    failure: str  # why the network process does not run; empty while it runs


class ProviderNode:
    """Announces a provider for as long as ``run`` runs."""

    def __init__(
        self,
        settings: Settings,
        chosen: tuple[str, ...],
        keys: Keys,
        offer: Callable[[bytes], tuple[ProviderRecord, int]],
        *,
        entropy: Callable[[int], bytes],
        relayed: bool = False,
        handlers: Handlers | None = None,
        launcher: Launcher | None = None,
        on_session: OnSession | None = None,
    ) -> None:
        """``chosen`` are addresses of full nodes; ``settings`` names none, so that we choose.

        ``offer`` takes the public key of our libp2p identity (32 bytes). It returns what is sold
        and how many slots are free. ``on_session`` serves clients that buy over libp2p.
        """
        self._offer = offer
        self._kept = Path(settings.folder) / "sequence"
        self._announcer = Announcer(keys, settings.network, _read_last(self._kept))
        self._core = Announcing(self._announcer, chosen, entropy(16), relayed=relayed)
        self._node_key = bytes(keys.node.verify_key)
        self.host = Host(settings, handlers or Deaf(), launcher, on_session=on_session)
        self._woken = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._process = 0  # the number of the network process that the core knows of; 0: none
        self._failure = "the network process is being started"

    @property
    def standing(self) -> Standing:
        """The provider's present standing in the network."""
        taken_by, connected, reason = self._core.describe()
        reservations = self._core.reservations
        failure = self._failure and (self.host.failure or self._failure)
        return Standing(self.host.peer, taken_by, connected, reason, reservations, failure)

    async def run(self) -> None:
        """Announce until cancelled; no failure of the network ends this."""
        try:
            await self._start()
            while True:
                await self._turn()
        finally:
            self._forget_tasks()
            await self.host.close()

    async def _start(self) -> None:
        while True:
            try:
                await self.host.start()
                break
            except NetError as error:
                self._failure = str(error)
                log.warning("%s", error)
            await asyncio.sleep(_START_AGAIN)
        self._process, self._failure = self.host.starts, ""

    async def _turn(self) -> None:
        self._woken.clear()
        # It may also have been replaced between two calls, and none of them failed.
        if self._process != self.host.starts:
            await self._wait_for_another()
        now = _now()
        self._core.offer(*self._offer(key_of(self.host.peer)))
        before = self._announcer.last
        actions = self._core.next_actions(now, time.time_ns() // 1_000_000)
        if self._announcer.last != before:
            self._keep_last()
        self._begin(actions)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._core.next_timer(now) - now):
                await self._woken.wait()

    async def _wait_for_another(self) -> None:
        """Wait for the next network process; forget all calls to the one that ended."""
        self._failure = "the network process ended, and is started again"
        self._forget_tasks()
        with contextlib.suppress(HostGone):
            await self.host.wait_ready()
            self._process, self._failure = self.host.starts, ""
            self._core.restarted(_now())

    def _begin(self, actions: list[Action]) -> None:
        for action in actions:
            task = asyncio.create_task(self._do(action))
            self._tasks.add(task)
            task.add_done_callback(self._end)

    def _end(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._woken.set()

    def _forget_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()

    async def _do(self, action: Action) -> None:
        """Carry out an action and report the result to the core."""
        try:
            await self._carry_out(action)
        except HostGone:
            self._process = 0
        except (NetError, ValueError) as error:
            log.info("%s: %s", type(action).__name__, error)
            self._note_failure(action)

    async def _carry_out(self, action: Action) -> None:
        core, host = self._core, self.host
        match action:
            case Dial(node, address):
                core.dialled(node, await host.connect(address, _OF_LIBP2P), _now())
            case Ask(node, peer, question):
                reasons = _reasons_untrusted(await host.ask(peer, question, _OF_LIBP2P))
                self._begin(core.answered(node, reasons, _now()))
            case Beat(node, peer, message):
                await host.send(peer, message, _OF_LIBP2P)
                core.beaten(node)
            case Leave(peer):
                await host.disconnect(peer)
            case Reserve(node, peer):
                core.reserved(node, await host.reserve(peer, _OF_LIBP2P), _now())
            case Search():
                found = await host.find_full_nodes(_OF_LIBP2P)
                named = {each[0].rpartition("/p2p/")[2]: each for each in found.values() if each}
                core.found(named, _now())
            case Store(record):
                core.stored(await host.put_record(self._node_key, record, _OF_LIBP2P), _now())

    def _note_failure(self, action: Action) -> None:
        match action:
            case Dial(node) | Ask(node) | Beat(node):
                self._core.lost(node, _now())
            case Reserve(node):
                self._core.reserved(node, False, _now())
            case Search():
                self._core.found({}, _now())
            case Store():
                self._core.stored(False, _now())

    def _keep_last(self) -> None:
        """Write the file whole or not at all.

        It need not survive a crash of the machine, because the clock has moved on by then.
        """
        unfinished = self._kept.with_suffix(".part")
        try:
            unfinished.write_text(str(self._announcer.last))
            unfinished.replace(self._kept)
        except OSError as error:
            log.warning("%s: %s; check that the disk has space", self._kept, error.strerror)


class Deaf:
    """Handlers of a peer that takes no gossip, no messages and no questions."""

    def on_gossip(self, peer: bytes, topic: str, data: bytes) -> Decision:  # noqa: ARG002
        return Decision.IGNORE

    def on_message(self, peer: bytes, message: bytes) -> None:
        """Ignore the message: nobody has anything to tell a provider."""

    async def on_question(self, peer: bytes, question: bytes) -> bytes:  # noqa: ARG002
        return questions.serialize(questions.declined(Reason.VERSION))


def _reasons_untrusted(answer: bytes) -> list[Reason | None]:
    """Return a full node's verdict on each item, or a single reason if it declined all."""
    try:
        message = questions.parse_untrusted(answer)
    except Refused:
        return [Reason.MALFORMED]
    match message:
        case questions.Delivered():
            return message.reasons
        case questions.Declined(code):
            return questions.Delivered((code,)).reasons
    return [Reason.MALFORMED]


def _read_last(file: Path) -> int:
    """Return the last sequence, or 0 if none was kept; then the clock alone orders records."""
    try:
        return int(file.read_text()[:20])
    except (OSError, ValueError):
        return 0


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
