# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How an error that nobody expected is told."""

import pytest

from fs_wire.failure import describe, printable


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("No module named 'x'"), "ModuleNotFoundError: No module named 'x'"),
        (OSError(13, "Permission denied", "/x"), "[Errno 13] Permission denied: '/x'"),
        (TimeoutError(), "TimeoutError"),
        (ValueError("one\ntwo\x1b[31m"), "ValueError: one two?[31m"),
        (ExceptionGroup("of a nursery", [ExceptionGroup("", [KeyError("k")])]), "KeyError: 'k'"),
    ],
)
def test_an_error_is_one_line_of_its_kind_and_its_words(error: Exception, said: str) -> None:
    assert describe(error) == said


def test_it_has_an_end() -> None:
    assert len(describe(ValueError("x" * 10_000))) == 300
    assert len(printable("x" * 10_000)) == 1000
