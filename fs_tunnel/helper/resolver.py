# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The resolver of a provider's clients: its program, its configuration, and its rights.

If the host has dnsmasq, dnsmasq serves. Debian's dnsmasq-base starts no service of its own. It
caches, follows the host's /etc/resolv.conf, and takes a million blocked names. Unbound would need a
trust anchor that it may rewrite, and comes as a service on port 53. On other hosts ``forwarder``
serves. Both run as a user whose only right is to open port 53, and end with the helper.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path

from fs_tunnel.helper import block_list
from fs_tunnel.helper.settings import ResolverSettings
from fs_tunnel.helper.starts import CODEC, FORWARDER, ForwarderStart
from fs_wire.errors import SystemChangeError
from fs_wire.unprivileged import unprivileged

PORT = 53
RESOLV_CONF = Path("/etc/resolv.conf")
_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
# A UDP datagram of this size passes everywhere without fragments: DNS Flag Day 2020.
_EDNS_BYTES = 1232


def dnsmasq_config(settings: ResolverSettings, blocked: Collection[str]) -> str:
    """Its configuration: it answers on the tunnel's addresses alone and forwards no local names."""
    return "".join(
        f"{line}\n"
        for line in (
            f"port={PORT}",
            *(f"listen-address={address}" for address in settings.addresses),
            "bind-interfaces",
            f"interface={settings.ifname}",
            "except-interface=lo",
            "no-hosts",
            f"resolv-file={RESOLV_CONF}",
            "domain-needed",
            "bogus-priv",
            f"edns-packet-max={_EDNS_BYTES}",
            "cache-size=10000",
            "dns-forward-max=1000",
            "pid-file",  # none
            "quiet-dhcp",
            *(f"local=/{name}/" for name in sorted(blocked)),
        )
    )


def forwarder_config(settings: ResolverSettings, blocked: Collection[str], parent: int) -> str:
    """The start that ``forwarder`` reads; it ends when the process ``parent`` does."""
    start = ForwarderStart(
        parent=parent,
        ifname=settings.ifname,
        addresses=settings.addresses,
        port=PORT,
        blocked=tuple(sorted(blocked)),
    )
    return CODEC.to_line(start).decode()


def start(settings: ResolverSettings, errors: int) -> "subprocess.Popen[str]":
    """Start it; ``errors`` is a descriptor for its error messages.

    It raises ConfigError if the block list is wrong, and SystemChangeError if it cannot start.
    """
    blocked = (
        block_list.load(Path(settings.block_list)) if settings.block_list else frozenset[str]()
    )
    dnsmasq = shutil.which("dnsmasq", path=_PATH)
    if dnsmasq is not None:
        argv = unprivileged([dnsmasq, "--keep-in-foreground", "--log-facility=-", "--conf-file=-"])
        config, environment = dnsmasq_config(settings, blocked), {"PATH": _PATH}
    else:
        # It gives up its rights after its imports, because only root may be able to read them.
        argv, config = list(FORWARDER), forwarder_config(settings, blocked, os.getpid())
        environment = dict(os.environ)
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd="/",
            env=environment,
            text=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SystemChangeError(
            f"the resolver of {settings.ifname} does not start ({error}); "
            "make sure that root may change to another user here, or give --no-dns"
        ) from None
    assert process.stdin is not None
    try:
        process.stdin.write(config)
        process.stdin.close()
    except BrokenPipeError:
        pass  # it has ended, and its supervisor notices
    return process


def check_port_is_free(settings: ResolverSettings) -> None:
    """SystemChangeError if another program answers DNS on the addresses."""
    for address in settings.addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with ExitStack() as stack:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                sock = stack.enter_context(socket.socket(family, kind))
                if kind == socket.SOCK_STREAM:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    sock.bind((address, PORT))
                except OSError as error:
                    raise SystemChangeError(
                        f"clients get no resolver: port {PORT} of {address}: {error.strerror}; "
                        f"stop the program there (ss -lunp sport = {PORT}), or give --no-dns"
                    ) from None
