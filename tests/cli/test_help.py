# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The help of every command: whole sentences in the lists, and the same words as the manual."""

import click
import pytest

from tools import reference

GROUPS = [
    name for name, context in reference.commands() if isinstance(context.command, click.Group)
]
CONTEXTS = dict(reference.commands())


@pytest.mark.parametrize("name", GROUPS)
def test_no_sentence_in_a_list_of_commands_is_cut(name: str) -> None:
    listed = CONTEXTS[name].get_help().partition("\nCommands:\n")[2]
    assert listed
    assert [line for line in listed.splitlines() if not line.rstrip().endswith(".")] == []
    assert "..." not in listed


def test_a_sentence_that_is_too_long_would_be_noticed() -> None:
    group = click.Group("group")
    group.add_command(click.Command("verb", help="Word " * 40 + "end."))
    assert "..." in click.Context(group, terminal_width=reference.COLUMNS).get_help()


@pytest.mark.parametrize("name", CONTEXTS)
def test_the_first_sentence_of_a_help_stands_alone(name: str) -> None:
    first = CONTEXTS[name].get_help().partition("\n\n")[2].partition("\n\n")[0].strip()
    assert first.endswith(".")
    assert first.count(". ") == 0
