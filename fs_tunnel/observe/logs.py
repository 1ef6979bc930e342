# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Write logs: text for people, or with FS_TUNNEL_LOG=json one JSON object for each line."""

import json
import logging
import os
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from fs_wire.errors import UsageError

FORMATS = ("text", "json")
# The attributes of every record; the others come from the ``extra`` of a caller.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Members: ``time`` (RFC 3339, UTC), ``level``, ``part``, ``message``, ``fields``.

    ``fields`` are those of the program, and the caller's ``extra``.  They hold the type and place
    of an exception, but not its message, which may quote a secret.
    """

    def __init__(self, **fields: str) -> None:
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        fields: dict[str, Any] = dict(self._fields)
        fields |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[0]:
            kind, _, trace = record.exc_info
            fields |= {"exception": kind.__name__, "at": _place(trace)}
        entry = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "part": record.name,
            "message": record.getMessage(),
            "fields": fields,
        }
        return json.dumps(entry, default=str)


def is_json() -> bool:
    """Whether FS_TUNNEL_LOG asks for JSON; UsageError for an unknown format."""
    chosen = os.environ.get("FS_TUNNEL_LOG", "text")
    if chosen not in FORMATS:
        raise UsageError(f"FS_TUNNEL_LOG is {chosen!r}; set it to {' or '.join(FORMATS)}")
    return chosen == "json"


def set_up(handler: logging.Handler, level: int, text: str, **fields: str) -> None:
    """Send the logs of this process to ``handler``, in JSON if FS_TUNNEL_LOG says so."""
    handler.setFormatter(JsonFormatter(**fields) if is_json() else logging.Formatter(text))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _place(trace: TracebackType | None) -> str | None:
    *_, (frame, line) = [(None, 0), *traceback.walk_tb(trace)]
    return f"{Path(frame.f_code.co_filename).name}:{line}" if frame else None
