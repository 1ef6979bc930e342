"""systemd-resolved: the resolvers of one link, and which names are asked there.

It answers on 127.0.0.53 and sends each question by the link whose domains fit the name best; "."
fits every name, and without the flag of a search domain it completes none.  What it was told of a
link ends with the link.  Source: org.freedesktop.resolve1(5), systemd-resolved.service(8).
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
# Other ways to ask for a name, or to ask in vain: the tunnel keeps questions from being read, and
# its resolver may well speak plain DNS alone.
_OFF = ("SetLinkLLMNR", "SetLinkMulticastDNS", "SetLinkDNSOverTLS", "SetLinkDNSSEC")
_NO_LINK = "org.freedesktop.resolve1.NoSuchLink"


@dataclass(frozen=True, slots=True)
class ResolvedLink(Change):
    """``servers`` answer for ``domains``, and with ``takes_all`` for every other name, too."""

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
            pass  # the link goes next, and what is remembered of it
        except Refused as error:
            if error.name != _NO_LINK:
                raise


def is_serving() -> bool:
    """Whether resolved answers the questions of this host.

    The bus may be that of another network namespace, whose links have our indices: what listens
    on the stub's address is of ours.
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
