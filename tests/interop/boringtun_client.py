# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Fetch a page over wireguard-requests, which is BoringTun without root and without a TUN.

The process reads its task as JSON from stdin, so no key is on the command line. It writes a line of
JSON for each reply.
"""

import hashlib
import json
import sys

from wireguard_requests import Peer, WireGuardConfig, WireGuardSocket
from wireguard_requests._native import WgTunnel

from tools.testing import patience


def main() -> None:
    """Fetch ``/page`` as often as the task says."""
    task = json.load(sys.stdin)
    peer = Peer(
        public_key=task["public"],
        endpoint=task["endpoint"],
        allowed_ips=["0.0.0.0/0"],
        preshared_key=task["psk"],
    )
    config = WireGuardConfig(private_key=task["private"], address=task["address"], peers=[peer])
    tunnel = WgTunnel(config.to_native())  # type: ignore[no-untyped-call]
    for _ in range(task["times"]):
        head, _, body = fetch(tunnel, task["host"], task["port"]).partition(b"\r\n\r\n")
        reply = {"status": head.split()[1].decode(), "sha256": hashlib.sha256(body).hexdigest()}
        print(json.dumps(reply))
    tunnel.close()


def fetch(tunnel: WgTunnel, host: str, port: int) -> bytes:
    """Return the whole HTTP reply."""
    connection = WireGuardSocket(tunnel)
    connection.settimeout(patience.seconds(30))
    connection.connect((host, port))
    connection.sendall(b"GET /page HTTP/1.0\r\nHost: web\r\n\r\n")
    reply = b""
    while chunk := connection.recv(65536):
        reply += chunk
    connection.close()
    return reply


if __name__ == "__main__":
    main()
