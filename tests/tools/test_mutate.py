# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The mutants: that there are some of each kind, and that one which is caught is killed."""

import pytest

from tools import mutate


@pytest.mark.parametrize("name", mutate.TESTS)
def test_each_mutant_changes_one_line_of_code(name: str) -> None:
    source = (mutate.CONTRACTS / "src" / f"{name}.sol").read_text().split("\n")
    mutants = list(mutate.mutants_of(name))
    assert len(mutants) > 20
    for mutant in mutants:
        assert source[mutant.number] == mutant.before != mutant.after
        assert not mutant.before.lstrip().startswith(("//", "import", "event"))


def test_the_kinds_of_change() -> None:
    texts = {str(each) for each in mutate.mutants_of("StakeBook")}
    for expected in (
        "StakeBook: `if (s.openCases != 0) revert InCase();` → `(nothing)`",
        "StakeBook: `burned += rest;` → `burned = rest;`",
        "StakeBook: `delete _stakes[key];` → `(nothing)`",
        "StakeBook: `if (verifiers.length == 0) return 0;` → `if (true) return 0;`",
    ):
        assert expected in texts
