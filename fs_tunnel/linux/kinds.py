"""Every kind of change, and its line in a journal."""

import json
from dataclasses import asdict
from typing import Any

from fs_tunnel.errors import SystemChangeError
from fs_tunnel.linux.change import Change
from fs_tunnel.linux.dns import ResolvConf, Resolvconf
from fs_tunnel.linux.firewall import NftTable
from fs_tunnel.linux.hooks import HookChange
from fs_tunnel.linux.links import Address, Link, LinkUp, Route, UnmarkedRule, Unreachable
from fs_tunnel.linux.sysctl import Sysctl

KINDS: dict[str, type[Change]] = {
    kind.__name__: kind
    for kind in (
        *(Address, Link, LinkUp, Route, UnmarkedRule, Unreachable),
        *(HookChange, NftTable, ResolvConf, Resolvconf, Sysctl),
    )
}


def to_json(change: Change) -> str:
    """One line."""
    return json.dumps({"change": type(change).__name__, **asdict(change)})


def from_json(line: str) -> Change:
    """The inverse; SystemChangeError for a line that no change was ever written as."""
    try:
        values: dict[str, Any] = json.loads(line)
        return KINDS[values.pop("change")](**values)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SystemChangeError("a line of the journal is damaged; it is passed over") from None
