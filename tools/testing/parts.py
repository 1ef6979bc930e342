# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What a run tested, in a line for each part of the program."""

from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

# The first prefix that fits a test names its part.
_PARTS = (
    ("tests/contracts/", "contracts"),
    ("tests/leaks/", "leaks"),
    ("tests/helper/", "leaks"),
    ("tests/net/http/", "page"),
    ("tests/net/page/", "page"),
    ("tests/net/", "network"),
    ("tests/market/", "market"),
    ("tests/e2e/", "market"),
    ("tests/", "tunnel"),
)
_WORDS = {
    "tunnel": "protocol, packet paths, other WireGuards, host, verbs, documents",
    "leaks": "nothing passes outside of the tunnel, whatever the network does",
    "market": "money, sessions, chain, crashes at each step, bought tunnels end to end",
    "network": "discovery, records, sessions, hostile members, js-libp2p",
    "page": "a full node's API and page, in a browser",
    "contracts": "forge's tests and invariants, gas, artefacts",
}


def lines(reports: Iterable[tuple[str, pytest.TestReport]]) -> Iterator[str]:
    """A line for each part that was tested: how many passed and failed, and what they say."""
    counts = {name: Counter[str]() for name in _WORDS}
    for category, report in reports:
        counts[part(report.nodeid)]["passed" if category == "passed" else "failed"] += 1
    for name, count in counts.items():
        if count.total():
            failed = f", {count['failed']} failed" if count["failed"] else ""
            yield f"{name:9} {count['passed']:5} passed{failed}: {_WORDS[name]}"


def part(nodeid: str) -> str:
    """The part that a test is of."""
    return next((name for prefix, name in _PARTS if nodeid.startswith(prefix)), "tunnel")
