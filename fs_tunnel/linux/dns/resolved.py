# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""systemd-resolved: the resolvers of one link, and the names that they resolve.

It answers on 127.0.0.53 and sends each question by the link whose domains fit the name best.  The
domain "." fits every name; without the flag of a search domain, it completes none.  Settings of a
link end with the link.  Source: org.freedesktop.resolve1(5), systemd-resolved.service(8).
"""

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import ClassVar

from fs_tunnel.linux.dns.system_bus import Refused, Service, ServiceGone, caller, is_served
from fs_tunnel.linux.journal.change import Change
from fs_wire.errors import SystemChangeError

STUBS = frozenset({"127.0.0.53", "127.0.0.54"})

_RESOLVED = Service(
    "org.freedesktop.resolve1",
    "/org/freedesktop/resolve1",
    "org.freedesktop.resolve1.Manager",
    "see journalctl -u systemd-resolved, or remove DNS from the file",
)
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
# We switch these off: the tunnel already encrypts questions, and its resolver may speak only plain
# DNS.  Other ways to resolve a name would leave the tunnel, or fail.
_OFF = ("SetLinkLLMNR", "SetLinkMulticastDNS", "SetLinkDNSOverTLS", "SetLinkDNSSEC")
_NO_LINK = "org.freedesktop.resolve1.NoSuchLink"


@dataclass(frozen=True, slots=True)
class ResolvedLink(Change):
    """``servers`` resolve ``domains``, and with ``takes_all`` every other name, too."""

    ends_with_link: ClassVar[bool] = True

    ifname: str
    servers: tuple[str, ...]
    domains: tuple[str, ...]
    takes_all: bool

    @property
    def place(self) -> tuple[object, ...]:
        return ("ResolvedLink", self.ifname)

    def do(self) -> None:
        index = _index(self.ifname)
        if index is None:
            raise SystemChangeError(f"there is no interface {self.ifname}; its engine has ended")
        addresses = map(ip_address, self.servers)
        domains = [(domain, False) for domain in self.domains]
        if self.takes_all:
            domains.append((".", True))
        with caller(_RESOLVED) as resolved:
            for method in _OFF:
                resolved.call(method, "is", index, "no")
            resolved.call("SetLinkDefaultRoute", "ib", index, self.takes_all)
            resolved.call("SetLinkDomains", "ia(sb)", index, domains)
            servers = [(_FAMILIES[each.version], each.packed) for each in addresses]
            resolved.call("SetLinkDNS", "ia(iay)", index, servers)
            resolved.call("FlushCaches")

    def undo(self) -> None:
        index = _index(self.ifname)
        if index is None:
            return
        try:
            with caller(_RESOLVED) as resolved:
                resolved.call("RevertLink", "i", index)
        except ServiceGone:
            pass  # The link goes next, and resolved forgets it.
        except Refused as error:
            if error.name != _NO_LINK:
                raise


def is_serving() -> bool:
    """Whether resolved resolves names for this host.

    The bus may belong to another network namespace, whose links can have our indices.  Only a
    listener on the stub's address is surely in our own namespace.
    """
    if not is_served(_RESOLVED):
        return False
    try:
        with socket.create_connection(("127.0.0.53", 53), timeout=1.0):
            return True
    except OSError:
        return False


def _index(ifname: str) -> int | None:
    try:
        return socket.if_nametoindex(ifname)
    except OSError:
        return None
