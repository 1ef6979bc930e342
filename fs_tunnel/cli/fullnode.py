# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel fullnode``: gather what providers say, and tell it to whoever asks."""

import asyncio
import fcntl
import gc
import json
import os
import signal
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import uvloop

from fs_market.chain.chain import Chain
from fs_market.settings import MarketSettings, find, read, read_section
from fs_net import bridge
from fs_net.core import batch
from fs_net.fullnode import stun
from fs_net.settings import NetworkSettings, parse_network
from fs_tunnel.cli.options.market_options import settings_options
from fs_tunnel.cli.options.page_options import page_options
from fs_tunnel.cli.options.params import json_option
from fs_tunnel.console.amounts import SCHEMA
from fs_tunnel.console.text import counted
from fs_tunnel.linux.process import allow_files
from fs_tunnel.linux.systemd import notify
from fs_tunnel.roles.chain_view import ChainListings, Progress
from fs_tunnel.roles.fullnode.page import Page
from fs_wire.errors import UsageError

_PACKAGES = "libp2p", "sqlalchemy", "trio"
_TELL_EVERY = 1.0  # s between words about the chain's first read
_MAX_FILES = 16_384  # connections, mostly
_GARBAGE = 100_000  # objects more than before until it is looked for


@click.command()
@click.option(
    "--database",
    metavar="URL",
    help="sqlite:///PATH or postgresql://HOST/NAME. Default: a file in --folder.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for identity and database. Default: ~/.local/share/flowshield/fullnode.",
)
@click.option(
    "--listen",
    metavar="MULTIADDR",
    multiple=True,
    help="Listen here instead of where the settings say; repeatable.",
)
@click.option(
    "--bootstrap",
    metavar="MULTIADDR",
    multiple=True,
    help="Full node to start with, instead of those in the settings; repeatable.",
)
@page_options
@settings_options
@json_option
def fullnode(
    database: str | None,
    folder: Path | None,
    listen: tuple[str, ...],
    bootstrap: tuple[str, ...],
    api: str | None,
    origin: str | None,
    proxy: str | None,
    settings_file: Path | None,
    rpc: str | None,
    *,
    as_json: bool,
) -> None:
    """Run a full node: list providers for others.

    A full node gathers what staked providers publish about themselves. It compares that with other
    full nodes, and answers clients that search. Nobody has to trust it, because providers sign
    what it passes on. With --api it also serves an HTTP API and a page for people.

    fullnode runs until Ctrl-C or SIGTERM, and needs no root.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{', '.join(missing)} is not installed; run: pip install 'flowshield[network]'"
        )
    path = find(settings_file)
    network = parse_network(read_section(path, "network") or {}, str(path))
    network = replace(
        network, listen=listen or network.listen, bootstrap=bootstrap or network.bootstrap
    )
    place = folder or Path.home() / ".local" / "share" / "flowshield" / "fullnode"
    if api is None and (origin or proxy):
        raise UsageError("--origin and --proxy are about --api; add --api ADDRESS:PORT")
    allow_files(_MAX_FILES)
    # What is held for long would be looked through again and again, for 100 ms at a time.
    gc.set_threshold(_GARBAGE)
    with _taken(place):
        page = Page.open(api, origin, proxy) if api else None
        plan = _Plan(read(path, rpc), network, place, database, page, as_json)
        if uvloop.run(_run(plan)) == signal.SIGINT:
            raise click.Abort


@dataclass(frozen=True, slots=True)
class _Plan:
    market: MarketSettings
    network: NetworkSettings
    folder: Path
    database: str | None
    page: Page | None
    as_json: bool


@contextmanager
def _taken(folder: Path) -> Iterator[None]:
    """A folder for one node at a time: two would have the same name in the network."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}; name another with --folder") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UsageError(
            f"a full node runs in {folder} already; end it, or name another with --folder"
        ) from None
    finally:
        os.close(lock)


async def _run(plan: _Plan) -> signal.Signals:
    """To the end; the signal that asked for it."""
    # It brings SQLAlchemy, which no other verb needs.
    from fs_net.fullnode.full_node import FullNode  # noqa: PLC0415
    from fs_net.fullnode.store import Store, parse_url  # noqa: PLC0415

    market = plan.market
    url = parse_url(plan.database or f"sqlite:///{plan.folder / 'fullnode.sqlite'}")
    ended = _ended()
    async with Chain(market.rpc, market.chain_id, confirmations=market.confirmations) as connection:
        view = ChainListings(connection, market)
        if not await _done_before(ended, view.refresh(_Teller(plan.as_json))):
            return await ended
        settings = bridge.Settings(
            folder=str(plan.folder),
            network=view.network,
            listen=plan.network.listen,
            bootstrap=plan.network.bootstrap,
            is_full_node=True,
            topics=(batch.topic(view.network),),
            finds_local_peers=plan.network.local_peers,
        )
        async with (
            Store(url, view.network) as store,
            FullNode(settings, view, store) as node,
            stun.answering(plan.network.listen),
        ):
            work = [view.follow()]
            if plan.page is not None:
                work += [plan.page.serve(node.catalogue, connection, market, view.network)]
            _tell_ready(await node.host.info(), len(view), plan)
            notify("READY=1")
            await _done_before(ended, all_of(*work))
            notify("STOPPING=1")
            return await ended


def _ended() -> "asyncio.Future[signal.Signals]":
    """The first signal that asks for the end."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[signal.Signals] = loop.create_future()

    def end(asked: signal.Signals) -> None:
        if not ended.done():
            ended.set_result(asked)

    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, end, each)
    return ended


async def _done_before(
    ended: "asyncio.Future[signal.Signals]", work: Coroutine[Any, Any, None]
) -> bool:
    """Whether some work was done before we were asked to end; what it raises is raised."""
    task = asyncio.create_task(work)
    both: list[asyncio.Future[Any]] = [task, ended]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
        return True
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return False


async def all_of(*work: Coroutine[Any, Any, None]) -> None:
    """Until all are done, or one fails; however it ends, none of them runs on."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for each in tasks:
            if not each.cancelling():  # who ends already is not disturbed in that
                each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Teller:
    """Says now and then how far the chain was read."""

    def __init__(self, as_json: bool) -> None:
        self._as_json, self._told = as_json, time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() - self._told < _TELL_EVERY:
            return
        self._told = time.monotonic()
        if self._as_json:
            _tell_json("reading", block=progress.block, last=progress.last)
        else:
            click.echo(f"reading the chain: block {progress.block} of {progress.last}", err=True)


def _tell_ready(info: dict[str, Any], listed: int, plan: _Plan) -> None:
    addresses = info["addresses"]
    if plan.as_json:
        page = plan.page.origin if plan.page else None
        chain = plan.market.chain_id
        _tell_json("ready", chain=chain, listed=listed, addresses=addresses, page=page)
        return
    many = counted(listed, "provider")
    lines = [f"full node of chain {plan.market.chain_id}, with {many} listed"]
    lines += [f"listens: {each}" for each in addresses]
    lines += [f"page: {plan.page.origin}"] if plan.page else []
    click.echo("\n".join(lines))


def _tell_json(event: str, **said: Any) -> None:
    click.echo(json.dumps({"schema": SCHEMA, "event": event, **said}))
