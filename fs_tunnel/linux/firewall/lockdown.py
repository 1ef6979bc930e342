# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Lockdown: while no full tunnel is up, this host is cut off, from boot on.

The setting is a file of commands for nft(8), so that at boot nothing else is needed to enforce it.
Its table lets pass what a host needs to be on its link, what goes into a tunnel, and the marked
datagrams of tunnels, which only root can send.  It is lifted while a full tunnel is up, whose kill
switch stands before that, and falls after it is back.
"""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from fs_tunnel.linux.command import run
from fs_tunnel.linux.firewall.kill_switch import (
    DNS,
    LAN,
    LAN_MULTICAST,
    LINK_UPKEEP_IN,
    LINK_UPKEEP_OUT,
)
from fs_tunnel.linux.firewall.nft import elements, fill, has_table, without
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.state import own_directory, state_directory
from fs_tunnel.linux.routing.links import LINK_GROUP
from fs_wire.errors import SystemChangeError

TABLE = "flowshield_lockdown"  # no tunnel's, whose tables begin with fs_
MARKS = range(51820, 51948)  # of tunnels that lockdown is not lifted for
_HEAD = "# fs-tunnel lockdown "
_CLOSED, _LIFTED = "closed", "lifted"

# Holes: $tunnels is the group of all tunnels' interfaces, $marks the range of MARKS.
_RULESET = """\
add table inet $table
delete table inet $table

table inet $table {
  counter dns { }
  counter outside { }
  counter unsolicited { }
  counter forwarded { }

  set lan4 { type ipv4_addr; flags interval; auto-merge; $lan4 }
  set lan6 { type ipv6_addr; flags interval; auto-merge; $lan6 }

  chain output {
    type filter hook output priority filter; policy drop;
    oifname "lo" accept
    oifgroup $tunnels accept
    meta l4proto udp meta mark $marks accept
    $link_upkeep_out
    $dns counter name dns reject with icmpx admin-prohibited
    ip daddr @lan4 accept
    ip6 daddr @lan6 accept
    counter name outside reject with icmpx admin-prohibited
  }
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    iifgroup $tunnels accept
    ct state established,related accept
    $link_upkeep_in
    ip saddr @lan4 accept
    ip6 saddr @lan6 accept
    counter name unsolicited drop
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    oifgroup != $tunnels $dns counter name dns reject with icmpx admin-prohibited
    oifgroup $tunnels accept
    iifgroup $tunnels ct state established,related accept
    ip daddr @lan4 accept
    ip6 daddr @lan6 accept
    ip saddr @lan4 ct state established,related accept
    ip6 saddr @lan6 ct state established,related accept
    counter name forwarded reject with icmpx admin-prohibited
  }
}
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """What stays possible: with ``allow_lan``, to reach private networks that the host is on."""

    allow_lan: bool = False


@dataclass(frozen=True, slots=True)
class LockdownLifted(Change):
    """The kill switch of a full tunnel takes lockdown's place; ``before`` is closed or lifted.

    It has no effect where lockdown is off.
    """

    before: str = ""

    @property
    def place(self) -> tuple[object, ...]:
        return ("LockdownLifted",)

    def transition(self) -> tuple[str, str]:
        return self.before, _LIFTED

    def prepared(self) -> Self:
        return replace(self, before=_CLOSED if is_in_force() else _LIFTED)

    def do(self) -> None:
        run(["nft", "-f", "-"], stdin=without(TABLE))

    def undo(self) -> None:
        if setting() is not None:
            enforce()


def setting() -> Setting | None:
    """None where lockdown is off; a file that is damaged means that it is on."""
    try:
        first = _path().read_text(errors="replace").partition("\n")[0]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SystemChangeError(f"{_path()}: {error.strerror}; run as root") from None
    try:
        return Setting(json.loads(first.removeprefix(_HEAD))["allow_lan"] is True)
    except (ValueError, KeyError, TypeError):
        return Setting()


def is_in_force() -> bool:
    return has_table(TABLE)


def enforce() -> None:
    """Load the table as the setting has it; SystemChangeError where nft refuses."""
    run(["nft", "-f", str(_path())])


def switch_on(wanted: Setting, *, is_lifted: bool) -> None:
    """Make the setting persist, and unless it ``is_lifted``, enforce it."""
    path = own_directory() / _path().name
    partial = path.with_suffix(".nft.new")
    text = f"{_HEAD}{json.dumps({'allow_lan': wanted.allow_lan})}\n{render(wanted)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(partial, flags, 0o600), "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.rename(path)
    except OSError as error:
        raise SystemChangeError(f"{path}: {error.strerror}; mend that, and repeat") from None
    if not is_lifted:
        enforce()


def switch_off() -> None:
    """Forget the setting, and open the way."""
    _path().unlink(missing_ok=True)
    run(["nft", "-f", "-"], stdin=without(TABLE))


def render(wanted: Setting) -> str:
    """The ruleset, to be loaded with ``nft -f``."""
    return fill(
        _RULESET,
        table=TABLE,
        tunnels=LINK_GROUP,
        marks=f"{MARKS.start}-{MARKS.stop - 1}",
        dns=DNS,
        link_upkeep_out=LINK_UPKEEP_OUT,
        link_upkeep_in=LINK_UPKEEP_IN,
        **elements("lan", (*LAN, *LAN_MULTICAST) if wanted.allow_lan else ()),
    )


def _path() -> Path:
    return state_directory() / "lockdown.nft"
