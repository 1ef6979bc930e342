# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Serve the engine's control socket; ``fs_wire.control`` documents requests and replies.

Only root can open the socket.  Still, we bound and parse requests like any other input.
"""

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

from fs_tunnel.proto.path import Limits
from fs_wire import control
from fs_wire.control import SCHEMA, Message
from fs_wire.errors import UsageError
from fs_wire.types import Endpoint, PublicKey, parse_network
from fs_wire.uapi import AllowedIPChange, PeerUpdate
from fs_wire.unix_socket import is_ours_or_roots, listen_privately

Operation = Callable[[Message], Message]

_MAX_REQUEST_BYTES = 64 << 10
_MAX_UNREAD_BYTES = 1 << 20  # of events: about 8,000
_MAX_BYTES = 2**63 - 1  # of a rate or a credit
_MAX_ADDRESSES = 64  # of one peer
_AMOUNTS = set(Limits._fields) - {"exempt"}


def listen(ifname: str) -> socket.socket:
    """Make the socket of an interface, for root alone; SystemChangeError if that fails."""
    path = control.socket_path(ifname)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return listen_privately(path)


class ControlServer:
    """Answers requests, and sends events to watchers.

    An operation gets a request and returns the reply; it raises UsageError for a request that it
    cannot serve.
    """

    def __init__(self, operations: Mapping[str, Operation]) -> None:
        self._operations = operations
        self._watchers: set[asyncio.StreamWriter] = set()

    async def start(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_unix_server(
            self._converse, sock=listener, limit=_MAX_REQUEST_BYTES
        )

    def close(self) -> None:
        self._server.close()

    def tell(self, event: str, **members: object) -> None:
        """Send an event to all watchers; hang up on a watcher that left too many unread."""
        line = json.dumps({"event": event, **members}).encode() + b"\n"
        for watcher in list(self._watchers):
            watcher.write(line)
            if watcher.transport.get_write_buffer_size() > _MAX_UNREAD_BYTES:
                self._watchers.discard(watcher)
                watcher.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def watch(_: Message) -> Message:
            self._watchers.add(writer)
            return {}

        operations = {**self._operations, "watch": watch}
        if not is_ours_or_roots(writer):
            writer.close()
            return
        try:
            while line := await reader.readline():
                writer.write(json.dumps(answer_untrusted(line, operations)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # The client left, or its line was too long: we have nobody to answer.
        finally:
            self._watchers.discard(writer)
            writer.close()


def answer_untrusted(line: bytes, operations: Mapping[str, Operation]) -> Message:
    try:
        request = json.loads(line)
        operation = operations[request["op"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        names = ", ".join(f'{{"op": "{name}"}}' for name in operations)
        return {"ok": False, "error": f"not understood; send one of {names}"}
    try:
        return {"ok": True, "schema": SCHEMA, **operation(request)}
    except UsageError as error:
        return {"ok": False, "error": str(error)}


def parse_peer_untrusted(request: Message) -> PublicKey:
    """The peer that a request names; UsageError if it names none."""
    text = request.get("peer")
    return PublicKey.from_base64(text if isinstance(text, str) else "")


def parse_endpoints_untrusted(request: Message, name: str, most: int) -> list[Endpoint]:
    """A list of 1 to ``most`` endpoints, each once; UsageError for anything else."""
    texts = request.get(name)
    if not isinstance(texts, list) or not 0 < len(texts) <= most:
        raise UsageError(f"{name} is a list of 1 to {most} endpoints, ADDRESS:PORT")
    return list(dict.fromkeys(Endpoint.parse(str(each)) for each in texts))


def parse_admission_untrusted(request: Message) -> PeerUpdate:
    """A peer with all of its addresses; UsageError for anything else."""
    addresses = request.get("addresses")
    if not isinstance(addresses, list) or not 0 < len(addresses) <= _MAX_ADDRESSES:
        raise UsageError(f"addresses is a list of 1 to {_MAX_ADDRESSES}")
    try:
        networks = [parse_network(str(each)) for each in addresses]
    except ValueError:
        raise UsageError("an address is written 10.66.0.2/32, or 10.66.0.2") from None
    return PeerUpdate(
        parse_peer_untrusted(request),
        replace_allowed_ips=True,
        allowed_ips=tuple(map(AllowedIPChange, networks)),
    )


def parse_limits_untrusted(request: Message, limits: Limits) -> Limits:
    """``limits`` with the changes of a request; UsageError for a change of no known limit."""
    unknown = set(request) - {"op", "peer", *Limits._fields}
    if unknown:
        known = ", ".join(Limits._fields)
        raise UsageError(f"no limit is called {min(unknown)!r}; there are {known}")
    changes: dict[str, Any] = {}
    for name in _AMOUNTS & set(request):
        amount = changes[name] = request[name]
        if type(amount) is not int or not 0 <= amount <= _MAX_BYTES:
            raise UsageError(f"{name} is a whole number of bytes, from 0 to 2^63 - 1")
    if "exempt" in request:
        changes["exempt"] = _parse_exempt_untrusted(request["exempt"])
    return limits._replace(**changes)


def _parse_exempt_untrusted(text: object) -> tuple[bytes, int] | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise UsageError("exempt is ADDRESS:PORT, or null")
    endpoint = Endpoint.parse(text)
    if endpoint.scope_id:
        raise UsageError("exempt is an address within the tunnel, which has no %zone")
    return ip_address(endpoint.ip).packed, endpoint.port


def describe_limits(limits: Limits) -> Message:
    """Limits in the form of a request."""
    exempt = None
    if limits.exempt is not None:
        packed, port = limits.exempt
        exempt = str(Endpoint(str(ip_address(packed)), port))
    return {**limits._asdict(), "exempt": exempt}
