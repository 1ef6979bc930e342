# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The targets that a run missed, by how much, and whether the machine could reach them."""

from collections.abc import Iterator, Sequence

from tools.bench.figures import FIGURES, Reading, median
from tools.bench.report.targets import Verdict

BARE = "veth"  # the wire without a tunnel


def explain(judged: Sequence[Verdict], readings: Sequence[Reading]) -> Iterator[str]:
    """A sentence or two for each target that was not reached."""
    for each in judged:
        if each.value is None or each.result == "PASS" or each.result.endswith("met"):
            continue
        target = each.target
        bound = target.must if each.result == "FAIL" else target.aim
        assert bound is not None
        word = "must" if each.result == "FAIL" else "aims to"
        least = "at least" if target.at_least else "at most"
        said = f"{target.what}: it {word} be {least} {bound:.4g}, and is {each.value:.4g}."
        yield said + _beyond_the_wire(each, bound, readings)


def _beyond_the_wire(verdict: Verdict, bound: float, readings: Sequence[Reading]) -> str:
    """What the target asks for in absolute terms, if the bare wire carried less than that."""
    target = verdict.target
    if target.of is None or not target.at_least or target.of[0] == BARE:
        return ""
    other, wire = (
        median(readings, verdict.scene, peer, target.figure) for peer in (target.of[0], BARE)
    )
    if other is None or wire is None or bound * other <= wire:
        return ""
    unit = FIGURES[target.figure].unit
    return (
        f" That would be {bound * other:.0f} {unit}, more than the {wire:.0f} {unit} that this "
        "machine carried without any tunnel."
    )
