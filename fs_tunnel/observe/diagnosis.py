# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Gather what the report of a defect needs to say of this host.

We read neither a configuration nor WireGuard's UAPI, since both hold private and pre-shared keys.
The engine's control socket and the journals are enough.  The result is not redacted yet.
"""

import json
import os
import platform
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from fs_tunnel import __version__
from fs_tunnel.linux.command import run
from fs_tunnel.linux.journal.journal import Journal, journalled
from fs_tunnel.linux.journal.kinds import to_json
from fs_tunnel.linux.process import usage_of
from fs_tunnel.observe.overview import look_at_all
from fs_wire.errors import FlowShieldError

_COMMANDS = {
    "addresses": ("ip", "-details", "address"),
    "links": ("ip", "-details", "-statistics", "link"),
    "routes": ("ip", "route", "show", "table", "all"),
    "routes6": ("ip", "-6", "route", "show", "table", "all"),
    "rules": ("ip", "rule"),
    "rules6": ("ip", "-6", "rule"),
    "ruleset": ("nft", "list", "ruleset"),
    "logs": (
        *("journalctl", "--quiet", "--no-pager", "--no-hostname", "--output=short-iso"),
        *("--lines=2000", "--identifier=fs-wg", "--identifier=fs-tunnel"),
    ),
}
_SYSCTLS = (
    *("net/ipv4/ip_forward", "net/ipv4/conf/*/src_valid_mark", "net/ipv4/conf/*/arp_ignore"),
    *("net/ipv4/conf/*/rp_filter", "net/ipv*/conf/*/forwarding", "net/ipv6/conf/*/accept_ra"),
    *("net/ipv6/conf/*/disable_ipv6", "net/core/rmem_max", "net/core/wmem_max"),
    "kernel/unprivileged_bpf_disabled",
)
_RESOLV_CONF = Path("/etc/resolv.conf")
# The lines of a resolver's file that programs read, and the names of its writers.
_RESOLVER_LINE = re.compile(
    r"(?:file:)?(?:nameserver|options|search|domain|link:|none:|sortlist)\b.*"
    r"|(?:file:)?# (?:Generated|Written) by (?:NetworkManager|fs-tunnel|resolvconf)\b"
)


@dataclass
class Gathered:
    """Texts and JSON values by file name, and the names that must be hidden in them."""

    files: dict[str, Any] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


def gather() -> Gathered:
    """Look at everything; if a part cannot be read, its text says why."""
    found = Gathered()
    found.names.add(socket.gethostname())
    for name, look in (
        ("about.json", _about),
        ("status.json", _status),
        ("sysctls.json", lambda: dict(_sysctls())),
        ("resolv.conf", partial(_resolver, found.names)),
    ):
        found.files[name] = _or_reason(look)
    for name, argv in _COMMANDS.items():
        found.files[f"{name}.txt"] = _or_reason(partial(run, argv))
    for name in journalled():
        found.files[f"journal/{name}.json"] = _or_reason(partial(_journal, name, found.names))
    return found


def resolver_lines(text: str) -> str:
    """The lines of a resolver's file that mean something to a program."""
    matches = (_RESOLVER_LINE.match(line) for line in text.splitlines())
    return "".join(f"{match[0]}\n" for match in matches if match)


def _or_reason(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except FlowShieldError as error:
        return f"not to be had: {error}\n"
    except OSError as error:
        return f"not to be had: {error.strerror}\n"


def _about() -> dict[str, Any]:
    kernel = os.uname()
    release = re.search(r'\nPRETTY_NAME="?([^"\n]*)', "\n" + Path("/etc/os-release").read_text())
    status = Path("/proc/self/status").read_text()
    privileges = re.findall(r"\n(Cap\w+|NoNewPrivs|Seccomp):\s*(\w+)", status)
    return {
        "fs-tunnel": __version__,
        "python": platform.python_version(),
        "packages": {each.name: each.version for each in distributions()},
        "system": release[1] if release else None,
        "kernel": [kernel.sysname, kernel.release, kernel.version, kernel.machine],
        "tun": Path("/dev/net/tun").exists(),
        "privileges": dict(privileges),
    }


def _status() -> dict[str, Any]:
    tunnels, failures = look_at_all()
    return {
        "tunnels": [
            {**each._asdict(), "usage": usage and usage._asdict()}
            for each in tunnels
            for usage in [usage_of(each.engine["pid"]) if each.engine else None]
        ],
        "failures": [str(each) for each in failures],
    }


def _journal(name: str, names: set[str]) -> dict[str, Any]:
    journal = Journal(name)
    changes = [json.loads(to_json(change)) for change in journal.changes]
    for change in changes:
        names.update(change.get("domains", ()), _searched(change.get("content", "")))
        match change["change"]:
            case "HookChange":  # shell lines of the user
                change |= {key: "(hidden)" for key in change if key != "change"}
            case "ResolvConf":
                names.update(_searched(change["before"]))
                change["before"] = resolver_lines(change["before"])
                change["content"] = resolver_lines(change["content"])
    header = journal.header
    if header is None:
        return {"header": None, "changes": changes}
    names.update(place.rpartition(":")[0].strip("[]") for place in header.endpoints)
    return {
        "header": {
            "role": header.role,
            "source": header.source,
            "endpoints": list(header.endpoints.items()),
            "is_settled": journal.is_settled,
        },
        "changes": changes,
    }


def _sysctls() -> Iterator[tuple[str, str]]:
    root = Path("/proc/sys")
    for pattern in _SYSCTLS:
        for path in sorted(root.glob(pattern)):
            yield str(path.relative_to(root)), path.read_text().strip()


def _resolver(names: set[str]) -> str:
    link = f"link:{_RESOLV_CONF.readlink()}\n" if _RESOLV_CONF.is_symlink() else ""
    text = _RESOLV_CONF.read_text(errors="replace")
    names.update(_searched(text))
    return resolver_lines(link + text)


def _searched(text: str) -> list[str]:
    """The domains with which a resolver's file completes names."""
    return " ".join(re.findall(r"(?m)^(?:file:)?\s*(?:search|domain)[ \t](.*)", text)).split()
