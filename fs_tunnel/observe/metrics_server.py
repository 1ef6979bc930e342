# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Serve metrics over HTTP to a Prometheus on this host: one page, on loopback or a UNIX socket.

A hostile web page may let its own name resolve to 127.0.0.1 and ask us by it (DNS rebinding).  It
cannot choose the Host header.  So over TCP we answer only if that is an address, or localhost.
"""

import logging
import socket
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, ClassVar

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from fs_wire.errors import SystemChangeError, UsageError
from fs_wire.types import Endpoint
from fs_wire.unix_socket import listen_privately

log = logging.getLogger(__name__)

PATH = "/metrics"
_MAX_CONNECTIONS = 8
_DEADLINE = 5.0  # seconds in which a request must arrive


def listen_tcp(place: Endpoint, *, anywhere: bool) -> socket.socket:
    """A listener; UsageError for an address that other hosts reach, unless ``anywhere``."""
    if not anywhere and not ip_address(place.ip).is_loopback:
        raise UsageError(
            f"other hosts reach {place.ip}, and metrics are nobody else's business; "
            "listen on 127.0.0.1, or add --allow-remote"
        )
    family = socket.AF_INET6 if ":" in place.ip else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((place.ip, place.port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise SystemChangeError(
            f"{place} cannot be listened on: {error.strerror}; name another port"
        ) from None
    return listener


def listen_unix(path: Path) -> socket.socket:
    """A listener that only its owner can open; SystemChangeError as for ``listen_privately``."""
    listener = listen_privately(path)
    listener.setblocking(True)
    return listener


def serve(listener: socket.socket, metrics: CollectorRegistry) -> None:
    """Answer for as long as the process runs."""
    with _Server(listener, metrics) as server:
        server.serve_forever()


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, metrics: CollectorRegistry) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.metrics = metrics
        self.is_local = listener.family == socket.AF_UNIX
        self._free = threading.BoundedSemaphore(_MAX_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        # The server calls this while it handles the exception.
        log.debug("a request for metrics ended early", exc_info=sys.exc_info())


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "fs-tunnel"
    sys_version = ""
    timeout: ClassVar[float] = _DEADLINE

    def do_GET(self) -> None:
        if not (self.server.is_local or _is_no_name(self.headers.get_all("Host") or [])):
            self.send_error(HTTPStatus.FORBIDDEN, "Host is a name; ask by address, or localhost")
        elif self.path.partition("?")[0] != PATH:
            self.send_error(HTTPStatus.NOT_FOUND, f"only {PATH} is here")
        else:
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            page = encode(self.server.metrics)
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

    def log_message(self, template: str, *values: Any) -> None:
        log.debug(template, *values)


def _is_no_name(hosts: list[str]) -> bool:
    """Whether a request names one host, by an address or as localhost."""
    if len(hosts) != 1:
        return False
    host = hosts[0].strip().lower()
    if host.startswith("["):
        host, bracket, port = host[1:].partition("]")
        port = port.removeprefix(":")
        if not bracket or ":" not in host:
            return False
    else:
        host, _, port = host.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return False
    if host == "localhost":
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
