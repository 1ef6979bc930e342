# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""``python -m tests.e2e.web ADDRESS PORT``: serve files of a directory, with ranges, in parallel.

``FILE?every=0.25`` sends 64 KiB at a time, with so many seconds between. A client that reads slowly
is no substitute: its kernel takes much at once, and then nothing for long.
"""

import re
import sys
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_CHUNK = 1 << 16


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        name, _, pause = self.path.lstrip("/").partition("?every=")
        path = Path(Path(name).name)
        size = path.stat().st_size
        wanted = re.fullmatch(r"bytes=0-(\d+)", self.headers.get("Range", ""))
        length = min(size, int(wanted[1]) + 1) if wanted else size
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        with path.open("rb") as file:
            while length:
                chunk = file.read(min(length, _CHUNK))
                self.wfile.write(chunk)
                length -= len(chunk)
                time.sleep(float(pause or 0))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Log no requests."""


ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), _Handler).serve_forever()
