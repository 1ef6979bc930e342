# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The hosts of the guides, each behind a link of its own, on an internet that has names.

internet    the router; 93.184.215.14, a web server; 9.9.9.9, which resolves every name to it
fullnode    5.75.1.2
provider    5.75.2.2
client      5.75.3.2

None of these addresses is reserved, because a provider keeps its clients from those that are.
"""

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.guides.blocks import BOTH, Block, blocks_of
from tests.guides.terminal import Terminal
from tests.netns.topology import Namespace, Topology
from tests.netns.waiting import wait_until

WEB, RESOLVER = "93.184.215.14", "9.9.9.9"
ADDRESSES = {"fullnode": "5.75.1.2", "provider": "5.75.2.2", "client": "5.75.3.2"}
PAGE = "Whoever reads this came through the tunnel.\n"
# scp between hosts: each has a folder here that has its address as its name.
_SCP = """\
#!/bin/sh -e
for each; do to=$each; done
for each; do
    [ "$each" = "$to" ] || cp "{hosts}/${{each%%:*}}/${{each#*:}}" "$to"
done
"""


@dataclass
class World:
    """The terminals by their hosts, and what it takes to look at them from outside."""

    internet: Namespace
    terminals: Mapping[str, Terminal]

    def type(self, guide: str, values: Mapping[str, str], kinds: tuple[str, ...] = ("",)) -> str:
        """The blocks of a guide that are of these kinds, one after another; what was shown."""
        shown = ""
        for block in blocks_of(guide):
            if block.kind in kinds:
                shown += self.type_block(block, values)
        return shown

    def type_block(self, block: Block, values: Mapping[str, str]) -> str:
        """One block, its settings with these values."""
        text = block.text
        if block.kind == "settings":
            text = "".join(f"{name}='{values[name]}'\n" for name in sorted(block.names))
        hosts = ("provider", "client") if block.host == BOTH else (block.host,)
        return "".join(self.terminals[host].type(text) for host in hosts)

    def page(self, host: str) -> str:
        """What the guide's curl left there."""
        return (self.terminals[host].folder / "page.html").read_text()


@contextlib.contextmanager
def world(*hosts: str) -> Iterator[World]:
    """Build it; whatever was started in it ends with it."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fs-guides-")))
        folder.chmod(0o711)  # agents without rights have their books below it
        topology = stack.enter_context(Topology())
        internet = _internet(topology, folder)
        terminals = {}
        for host in hosts:
            namespace = _joined(topology, internet, host)
            (folder / host).mkdir(mode=0o711)
            terminals[host] = stack.enter_context(Terminal(namespace, folder / host, RESOLVER))
            (folder / "hosts" / ADDRESSES[host]).symlink_to(terminals[host].folder)
        yield World(internet, terminals)


def _internet(topology: Topology, folder: Path) -> Namespace:
    internet = topology.namespace("inet")
    internet.sysctl("net/ipv4/ip_forward", 1)
    for address in (WEB, RESOLVER):
        internet.ip("address", "add", f"{address}/32", "dev", "lo")
    for name in ("site", "bin", "hosts"):
        (folder / name).mkdir()
    (folder / "site" / "index.html").write_text(PAGE)
    scp = folder / "bin" / "scp"
    scp.write_text(_SCP.format(hosts=folder / "hosts"))
    scp.chmod(0o755)
    internet.start(
        *(sys.executable, "-m", "http.server", "--bind", WEB, "80"), cwd=str(folder / "site")
    )
    internet.start(
        *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"),
        *("--pid-file=", "--user=root", "--bind-interfaces", f"--listen-address={RESOLVER}"),
        f"--address=/#/{WEB}",
    )
    wait_until(
        lambda: (
            f"{WEB}:80" in internet.run("ss", "-ltnH")
            and f"{RESOLVER}:53" in internet.run("ss", "-lunH")
        ),
        what="the internet has a web server and a resolver",
    )
    return internet


def _joined(topology: Topology, internet: Namespace, host: str) -> Namespace:
    namespace = topology.namespace(host)
    address = ADDRESSES[host]
    router = address.rpartition(".")[0] + ".1"
    topology.link(namespace, "eth0", [f"{address}/24"], internet, host, [f"{router}/24"])
    namespace.ip("route", "add", "default", "via", router)
    return namespace
