# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The last line on a process's standard error, which mostly says why the process ended."""

import asyncio
import contextlib
import os
from types import TracebackType
from typing import Self

from fs_wire.failure import printable

_READ = 65536  # bytes
_MOST = 300  # bytes of a line that are kept


class LastWords:
    """A pipe for a process's standard error; the process gets its ``writer``."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._line = self._unfinished = b""

    def __enter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._reader, self._drain)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._drain()
        asyncio.get_running_loop().remove_reader(self._reader)
        os.close(self._reader)
        self.close_writer()

    def close_writer(self) -> None:
        """Close our copy of the writer, once the process has its own."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    @property
    def text(self) -> str:
        """The last line that is not blank; empty if there is none."""
        line = self._unfinished.strip() or self._line
        return printable(line.decode(errors="replace"))

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._reader, _READ):
                *lines, self._unfinished = (self._unfinished + data).split(b"\n")
                said = [each.strip() for each in lines if each.strip()]
                self._line = (said or [self._line])[-1][:_MOST]
                self._unfinished = self._unfinished[:_MOST]
            asyncio.get_running_loop().remove_reader(self._reader)  # the process has closed its end


def why_it_ended(status: int, words: LastWords) -> str:
    """Why a process ended, for ``status`` and for the log."""
    how = f"signal {-status} ended it" if status < 0 else f"it ended with {status}"
    return f"{how}: {words.text}" if words.text else f"{how}, without a word"
