# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What the books of a client and of a provider have in common: a record, and its meter."""

from dataclasses import replace
from typing import Any, Generic, TypeVar

from fs_market.core.money.accounting import Usage
from fs_market.core.money.records import ClientRecord, ProviderRecord

RecordType = TypeVar("RecordType", ClientRecord, ProviderRecord)


class Books(Generic[RecordType]):
    """The books of one side of a session, kept in the record that goes to the journal."""

    __slots__ = ("record",)
    record: RecordType

    def __init__(self, record: RecordType) -> None:
        self.record = record

    def change(self, **changes: Any) -> None:
        """Replace fields of the record."""
        self.record = replace(self.record, **changes)

    @property
    def usage(self) -> Usage:
        """The service since the session began, by our own count."""
        return self.record.meter.usage

    def read(self, up: int, down: int) -> None:
        """Take the engine's counters of the peer, in bytes, as they are."""
        self.change(meter=self.record.meter.read(up, down))

    def pass_time(self, milliseconds: int) -> None:
        """Add time in which service was given."""
        if milliseconds:
            self.change(meter=self.record.meter.pass_time(milliseconds))
