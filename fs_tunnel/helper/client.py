# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The client side of a helper, for commands and for an agent that may ask for changes."""

import json
import os
import socket
import subprocess
import sys
import time
from typing import Any

from fs_tunnel.helper.settings import Settings
from fs_tunnel.linux.journal.change import Change
from fs_tunnel.linux.journal.kinds import to_json
from fs_wire import control
from fs_wire.errors import ControlError, NotRunningError, SystemChangeError
from fs_wire.patience import patient

# -P: Python does not import from the directory in which root happens to be.
_HELPER = (sys.executable, "-P", "-m", "fs_tunnel.helper.process")
_DEADLINE = patient(30.0)  # seconds; the helper waits for commands that work on the tunnel
_START_DEADLINE = patient(15.0)  # seconds
_MAX_REPLY_BYTES = 1 << 20


class HelperClient:
    """Asks the helper of one tunnel, over one connection a request.

    Every method raises NotRunningError if there is no helper, and ControlError with the reason if
    the helper refuses or does not answer.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def do(self, change: Change) -> None:
        """Have the helper write down a change and make it."""
        self._request({"op": "do", "change": json.loads(to_json(change))})

    def undo(self, change: Change) -> None:
        """Have the helper take back such a change, if it is in force."""
        self._request({"op": "undo", "change": json.loads(to_json(change))})

    def status(self) -> dict[str, Any]:
        """The helper's ``pid``, and how its tunnel is doing.

        ``changes`` are those in force that others asked for. ``resolver`` is its pid or null.
        ``market`` is the agent's last report. ``failover`` is the mover's last report.
        """
        return self._request({"op": "status"})

    def configure(self, settings: Settings) -> None:
        """Replace the helper's settings."""
        self._request({"op": "configure", "settings": settings.to_json()})

    def dismiss(self) -> dict[str, Any] | None:
        """Have the market's agent finish and end; return its last report, or None without agent."""
        told = self._request({"op": "dismiss"})["market"]
        return told if isinstance(told, dict) else None

    def leave(self) -> None:
        """Have the helper end, so that another one can take its place."""
        self._request({"op": "leave"})

    def _request(self, request: dict[str, Any]) -> dict[str, Any]:
        path = control.helper_path(self._name)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(_DEADLINE)
            try:
                sock.connect(str(path))
            except (FileNotFoundError, ConnectionRefusedError):
                raise NotRunningError(
                    f"{self._name} has no helper; start one with fs-tunnel up or serve"
                ) from None
            except OSError as error:
                raise ControlError(
                    f"the helper of {self._name} cannot be reached: {error.strerror or error}; "
                    "run as root, or as the user of --agent"
                ) from None
            try:
                sock.sendall(json.dumps(request).encode() + b"\n")
                reply = json.loads(sock.makefile("rb").readline(_MAX_REPLY_BYTES))
            except (OSError, ValueError, RecursionError):
                reply = None
        if not isinstance(reply, dict) or reply.get("ok") is not True:
            why = reply.get("error") if isinstance(reply, dict) else "it did not answer; try again"
            raise ControlError(f"the helper of {self._name}: {why}")
        return reply


def hand_over(name: str, settings: Settings) -> None:
    """Hand the tunnel to its helper, or start a helper; SystemChangeError if none can start."""
    deadline = time.monotonic() + _START_DEADLINE
    while True:
        try:
            HelperClient(name).configure(settings)
        except NotRunningError:
            pass
        except ControlError:  # perhaps the helper is about to end
            if time.monotonic() > deadline:
                raise
        else:
            return
        said = start(name, settings)
        if said is None:
            return
        if time.monotonic() > deadline:
            raise SystemChangeError(said)
        time.sleep(0.05)


def start(name: str, settings: Settings) -> str | None:
    """Start a helper; return None once it is ready, or else why it did not start."""
    try:
        done = subprocess.run(
            [*_HELPER, name],
            input=json.dumps(settings.to_json()),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(os.environ),
            text=True,
            timeout=_START_DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"the helper of {name} did not start within {_START_DEADLINE:g} s; try again"
    if not done.returncode:
        return None
    said = done.stderr.strip().splitlines() or ["it did not start; see the log"]
    return f"the helper of {name}: {said[-1].removeprefix('fs-tunnel helper: error: ')}"
