# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How far tests go that could go on and on: some steps or examples always, all of them at length.

``make test-long`` runs what is marked ``long``, and property tests with ten times the examples.
"""

import os

import pytest
from _pytest.mark.structures import ParameterSet

# For a test that kills something at each step of it: how far apart the steps are.
strides = pytest.mark.parametrize(
    "stride",
    [pytest.param(7, id="some"), pytest.param(1, id="each", marks=pytest.mark.long)],
)

long = pytest.mark.long


def at_length(*values: object) -> list[ParameterSet]:
    """Values of a parameter that only ``make test-long`` tries."""
    return [pytest.param(value, marks=long) for value in values]


def pairs_at_length(*pairs: tuple[object, object]) -> list[ParameterSet]:
    """Pairs of values of two parameters that only ``make test-long`` tries."""
    return [pytest.param(*pair, marks=long) for pair in pairs]


_FACTOR = float(os.environ.get("FS_TEST_EXAMPLES", "1"))


def examples(count: int) -> int:
    """So many examples of a property; ``FS_TEST_EXAMPLES`` is the factor."""
    return max(1, round(count * _FACTOR))
