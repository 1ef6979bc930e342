# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What became of each system, as a table and as an exit status."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tools.terminal import table

PASSED, FAILED, MISSING = 0, 1, 3
NOT_TO_BE_HAD = "not to be had"


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and when."""

    status: int
    seconds: float

    def __str__(self) -> str:
        said = "passed" if self.status == 0 else f"failed ({self.status})"
        return f"{said}, {self.seconds:.0f} s"


@dataclass
class Result:
    """One system: why it is missing, why it could not be made, or what its commands did."""

    title: str
    missing: str = ""
    broken: str = ""
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    @property
    def has_failed(self) -> bool:
        """Whether something was tried and did not work."""
        return bool(self.broken) or any(found.status != 0 for found in self.outcomes.values())


def report(results: Sequence[Result], commands: Sequence[str]) -> str:
    """Return the table: a line for each system."""
    return table(("system", *commands, "note"), [_row(result, commands) for result in results])


def exit_status(results: Sequence[Result], *, may_miss: bool) -> int:
    """Return 0 if all passed, 1 if something failed, 3 if a system, or each, is not to be had."""
    if any(result.has_failed for result in results):
        return FAILED
    missing = [result for result in results if result.missing]
    if len(missing) == len(results) or (missing and not may_miss):
        return MISSING
    return PASSED


def _row(result: Result, commands: Sequence[str]) -> list[str]:
    if result.missing:
        return [result.title, *(NOT_TO_BE_HAD for _ in commands), result.missing]
    cells = [str(result.outcomes.get(command, "-")) for command in commands]
    return [result.title, *cells, result.broken]
