# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel run``: one program inside of a tunnel, or outside of it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from fs_tunnel.cli.completion import complete_conf
from fs_tunnel.cli.options.params import Address
from fs_tunnel.config import TunnelConfig, load
from fs_tunnel.linux.dns.outside_dns import outside_resolvers
from fs_tunnel.linux.firewall.nft import NftTable
from fs_tunnel.linux.journal.journal import Journal, journalled
from fs_tunnel.linux.journal.state import locked
from fs_tunnel.linux.routing import inner_namespace, links
from fs_tunnel.linux.splits import cgroup, launch, split_plans, splits
from fs_tunnel.privileges import require_net_admin
from fs_tunnel.settings import tunnel_name
from fs_wire.errors import NotRunningError, UsageError
from fs_wire.types import IPAddress

_PROGRAM = "fs_tunnel.program"


class _WithProgram(click.Command):
    """Takes apart what is ours and, after ``--``, the program's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ours, program = args, []
        if "--" in args:
            at = args.index("--")
            ours, program = args[:at], args[at + 1 :]
        ctx.meta[_PROGRAM] = program
        try:
            return super().parse_args(ctx, ours)
        except click.UsageError:
            if program:
                raise
            ctx.fail("put -- before the program: fs-tunnel run --inside -- PROGRAM")

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "-- PROGRAM [ARGUMENTS]..."]


@click.command(cls=_WithProgram)
@click.option("--inside", is_flag=True, help="The tunnel is the program's only way out.")
@click.option("--outside", is_flag=True, help="The program bypasses a full tunnel.")
@click.option("--user", metavar="USER", help="Run it as USER. Default: the user who called sudo.")
@click.option(
    "--dns",
    multiple=True,
    type=Address(),
    help="Resolver for the program, instead of the tunnel's or the host's; repeatable.",
)
@click.argument("tunnel", required=False, shell_complete=complete_conf)
@click.pass_context
def run(
    ctx: click.Context,
    inside: bool,
    outside: bool,
    user: str | None,
    dns: tuple[IPAddress, ...],
    tunnel: str | None,
) -> int:
    """Run one program inside or outside a tunnel that is up.

    You can leave TUNNEL out if only one tunnel is up. Put -- before the program.

    --inside confines the program to the tunnel. It gets a network of its own, whose only way out
    is the tunnel, even if the tunnel dies. --outside lets the program, and what it starts, bypass
    a full tunnel. It then uses the resolvers that the host had before.

    run exits as the program does. It exits with 128 and the signal's number if a signal ended the
    program, with 127 if there is no such program, and with 126 if it cannot be run.
    """
    program: list[str] = ctx.meta[_PROGRAM]
    if inside == outside:
        raise UsageError("choose --inside or --outside")
    if not program:
        raise UsageError("there is no program to run; put it at the end, after --")
    require_net_admin("fs-tunnel run")
    who = launch.User.of(user)
    name = _choose(tunnel)
    with locked(name):
        journal = Journal(name)
        config = _config_of(name, journal)
        place = (_inside if inside else _outside)(name, journal, config, dns)
        try:
            process = launch.start(program, place, who)
        except BaseException:
            splits.take_back_unused(name)
            raise
    try:
        return launch.wait(process)
    finally:
        with locked(name):
            splits.take_back_unused(name)


def _inside(
    name: str, journal: Journal, config: TunnelConfig, resolvers: Sequence[IPAddress]
) -> launch.Place:
    header = journal.header
    assert header is not None
    addresses = config.interface.addresses
    if not addresses:
        raise UsageError(f"{name} has no Address, so nothing can be inside; add one to its file")
    table = next(
        (
            each.table
            for each in splits.journal_of(name, splits.INSIDE).in_force()
            if isinstance(each, links.Unreachable)
        ),
        0,
    )
    if not table:
        table = split_plans.FIRST_INSIDE_TABLE
        while links.table_in_use(table):
            table += 1
    plan = split_plans.inside_plan(
        name, sorted({each.version for each in addresses}), links.mtu_of(name), table
    )
    splits.ensure(name, splits.INSIDE, header.source, plan)
    servers = resolvers or config.interface.dns
    if not servers:
        _warn(f"{name} has no DNS in its file; the host's resolvers are asked through the tunnel")
    return launch.Place(
        namespace=inner_namespace.path_of(name),
        resolv_conf=_resolv_conf(servers, config.interface.dns_search) if servers else None,
    )


def _outside(
    name: str, journal: Journal, config: TunnelConfig, resolvers: Sequence[IPAddress]
) -> launch.Place:
    header = journal.header
    assert header is not None
    in_force = journal.in_force()
    mark = next((each.table for each in in_force if isinstance(each, links.Unreachable)), 0)
    if not mark:
        raise UsageError(
            f"{name} is no full tunnel: what its AllowedIPs do not name is outside; "
            "run the program as it is"
        )
    servers = resolvers or outside_resolvers(in_force, config.interface.dns)
    group = cgroup.group(name)
    has_kill_switch = any(isinstance(each, NftTable) for each in in_force)
    plan = split_plans.outside_plan(name, mark, group, kill_switch=has_kill_switch)
    splits.ensure(name, splits.OUTSIDE, header.source, plan)
    return launch.Place(cgroup=group, resolv_conf=_resolv_conf(servers, ()))


def _choose(named: str | None) -> str:
    """The tunnel that is meant; NotRunningError where it is not up."""
    if named is not None:
        name = tunnel_name(named)
    else:
        clients = [each for each in journalled() if _is_client(each)]
        if len(clients) > 1:
            raise UsageError(f"more than one tunnel is up; name one of {', '.join(clients)}")
        if not clients:
            raise NotRunningError("no tunnel is up; start one with fs-tunnel up")
        name = clients[0]
    return name


def _is_client(name: str) -> bool:
    header = Journal(name).header
    return header is not None and header.role == "up"


def _config_of(name: str, journal: Journal) -> TunnelConfig:
    header = journal.header
    if header is None or header.role != "up" or not links.exists(name):
        raise NotRunningError(f"{name} is not up as a client; start it with fs-tunnel up {name}")
    return load(Path(header.source))


def _resolv_conf(servers: Iterable[IPAddress], domains: Iterable[str]) -> str:
    lines = [f"nameserver {each}\n" for each in servers]
    search = " ".join(domains)
    return "".join([*lines, f"search {search}\n" if search else ""])


def _warn(what: str) -> None:
    click.echo(f"fs-tunnel: warning: {what}", err=True)
