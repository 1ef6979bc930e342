# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Readings that nobody measured, and what is said of them."""

from tools.bench.figures import Reading
from tools.bench.report import targets


def readings(peer: str, figure: str, *values: float, scene: str = "on") -> list[Reading]:
    return [Reading(scene, peer, figure, run, value) for run, value in enumerate(values, 1)]


def results(found: list[Reading]) -> dict[str, str]:
    return {each.target.what: each.result for each in targets.judge(found, ["on"])}
