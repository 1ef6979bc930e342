# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``fs-tunnel lockdown``: whether this host is cut off while no full tunnel is up."""

import json
import os
from typing import Any

import click

from fs_tunnel.linux.firewall import lockdown as host
from fs_tunnel.linux.firewall.kill_switch import LAN
from fs_tunnel.linux.journal.journal import Journal, journalled
from fs_tunnel.linux.journal.state import host_locked
from fs_tunnel.linux.routing.remote_login import remote_login
from fs_tunnel.privileges import require_net_admin, require_root
from fs_wire.errors import NotRunningError, UsageError
from fs_wire.uapi_client import UapiClient

SCHEMA = 1


@click.group()
def lockdown() -> None:
    """Block this host's traffic while no full tunnel is up.

    Only loopback, DHCP, neighbour discovery and the tunnels' own datagrams get through. A split
    tunnel works, and everything beside it stays blocked.

    Names do not resolve under lockdown, so the Endpoint in a tunnel's file must be an address. You
    cannot search for or buy a tunnel either. The service fs-tunnel-lockdown applies lockdown at
    boot, before the network starts.
    """


@lockdown.command()
@click.option(
    "--allow-lan", is_flag=True, help="Keep reaching the private networks that this host is on."
)
@click.option("--force", is_flag=True, help="Go on even if this cuts your SSH connection.")
def on(allow_lan: bool, force: bool) -> None:
    """Turn lockdown on, until lockdown off."""
    require_net_admin("fs-tunnel lockdown")
    if not force:
        _keep_remote_login(allow_lan=allow_lan)
    with host_locked():
        host.switch_on(host.Setting(allow_lan), is_lifted=is_lifted())
    click.echo(describe(look()))
    click.echo("to turn it on at boot: systemctl enable fs-tunnel-lockdown")
    for name in _cut_off():
        click.echo(f"fs-tunnel: warning: {name} is cut off, too; fs-tunnel up {name} again")


@lockdown.command()
def off() -> None:
    """Turn lockdown off."""
    require_net_admin("fs-tunnel lockdown")
    with host_locked():
        host.switch_off()
    click.echo(describe(look()))


@lockdown.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON; its schema has a version.")
def status(as_json: bool) -> None:
    """Say whether lockdown is on, and whether it blocks right now."""
    require_root("fs-tunnel lockdown")
    found = look()
    click.echo(json.dumps({"schema": SCHEMA, "lockdown": found}) if as_json else describe(found))


def look() -> dict[str, Any]:
    """The setting and what is in force, as the JSON schema has it."""
    setting = host.setting()
    return {
        "on": setting is not None,
        "allow_lan": setting is not None and setting.allow_lan,
        "blocking": setting is not None and host.is_in_force(),
        "lifted": setting is not None and is_lifted(),
    }


def describe(found: dict[str, Any]) -> str:
    """A line for people."""
    if not found["on"]:
        return "lockdown is off"
    said = "lockdown is on" + (", private networks apart" if found["allow_lan"] else "")
    if found["blocking"]:
        return f"{said}: nothing leaves this host but tunnels"
    if found["lifted"]:
        return f"{said}: a full tunnel is up, and nothing leaves beside it"
    return f"{said}, but not in force; repeat fs-tunnel lockdown on"


def is_lifted() -> bool:
    """Whether a full tunnel's kill switch stands in its place."""
    return any(map(_lifts, journalled()))


def _lifts(name: str) -> bool:
    return any(isinstance(each, host.LockdownLifted) for each in Journal(name).in_force())


def _cut_off() -> list[str]:
    """The tunnels whose datagrams have no mark that lockdown knows."""
    found = []
    for name in journalled():
        try:
            is_known = UapiClient(name).get().fwmark in host.MARKS
        except NotRunningError:
            continue
        if not is_known and not _lifts(name):
            found.append(name)
    return found


def _keep_remote_login(*, allow_lan: bool) -> None:
    """UsageError where it would cut the connection by which the user came."""
    login = remote_login(os.getpid())
    if login is None or login.address.is_loopback:
        return
    if allow_lan and any(login.address in network for network in LAN):
        return
    raise UsageError(
        f"you came by SSH from {login.address}, and lockdown would cut you off; add --force"
        + ("" if allow_lan else ", or --allow-lan if that is a private network of this host")
    )
