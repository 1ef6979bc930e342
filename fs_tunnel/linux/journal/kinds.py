# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Write every kind of change as a line of a journal, and read it back."""

import json
from dataclasses import asdict
from typing import Any, get_args, get_origin, get_type_hints

from fs_tunnel.linux.dns.host_resolver import ResolvConf, Resolvconf
from fs_tunnel.linux.dns.resolved import ResolvedLink
from fs_tunnel.linux.firewall.lockdown import LockdownLifted
from fs_tunnel.linux.firewall.nft import NftChain, NftTable
from fs_tunnel.linux.firewall.permitted_endpoint import PermittedEndpoint
from fs_tunnel.linux.firewall.permitted_negotiation import PermittedNegotiation
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.hooks import HookChange
from fs_tunnel.linux.routing.inner_namespace import InnerNamespace
from fs_tunnel.linux.routing.links import (
    Address,
    Link,
    LinkUp,
    Route,
    RuleTo,
    UnmarkedRule,
    Unreachable,
)
from fs_tunnel.linux.routing.sysctl import Sysctl
from fs_tunnel.linux.splits.cgroup import MarkedGroup
from fs_wire.errors import SystemChangeError, UsageError

KINDS: dict[str, type[Change]] = {
    kind.__name__: kind
    for kind in (
        *(Address, Link, LinkUp, Route, RuleTo, UnmarkedRule, Unreachable),
        *(HookChange, NftChain, NftTable, PermittedEndpoint, ResolvConf, Resolvconf),
        *(PermittedNegotiation, ResolvedLink, Sysctl),
        *(InnerNamespace, LockdownLifted, MarkedGroup),
    )
}


def to_json(change: Change) -> str:
    """Write a change as one line."""
    return json.dumps({"change": type(change).__name__, **asdict(change)})


def from_json(line: str) -> Change:
    """Read a change from its line; SystemChangeError if the line is no change."""
    try:
        values: dict[str, Any] = json.loads(line)
        kind = KINDS[values.pop("change")]
        hints = get_type_hints(kind)
        return kind(**{name: _checked(value, hints[name]) for name, value in values.items()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UsageError):
        raise SystemChangeError("a line of the journal is damaged; it is skipped") from None


def _checked(value: Any, hint: Any) -> Any:
    """A JSON value as the type of its field; TypeError if it does not fit."""
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise TypeError
        return tuple(_checked(each, get_args(hint)[0]) for each in value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise TypeError
    return value
