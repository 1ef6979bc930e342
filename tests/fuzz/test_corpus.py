# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Every target on its corpus and on changes of it: a fuzzer's findings stay found."""

import random
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
MUTATIONS = 150  # of each entry


def entries(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus(name: str) -> None:
    found = entries(name)
    assert len(found) >= 3
    for data in found:
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_changes_of_the_corpus(name: str) -> None:
    dice = random.Random(name)
    for data in entries(name):
        for _ in range(MUTATIONS):
            TARGETS[name](mutated(data, dice))


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Flip, cut, repeat or insert, a few times."""
    changed = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(changed) + 1)
        match dice.randrange(4):
            case 0 if at < len(changed):
                changed[at] ^= 1 << dice.randrange(8)
            case 1:
                del changed[at : at + dice.randint(1, 8)]
            case 2:
                changed[at:at] = changed[at : at + dice.randint(1, 16)]
            case _:
                changed[at:at] = dice.randbytes(dice.randint(1, 8))
    return bytes(changed)
