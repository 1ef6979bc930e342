# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The manual pages: in good form, and complete beside the commands."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from fs_market import provider_settings
from fs_market import settings as market_settings
from fs_net import settings as network_settings
from fs_tunnel import config
from fs_tunnel.cli.status import SCHEMA
from fs_wire import errors
from tools import reference
from tools.testing import patience

REPOSITORY = Path(__file__).resolve().parent.parent
MAN = REPOSITORY / "docs" / "man"
PAGES = {path.stem: path for path in MAN.glob("*.8")}
FILES = sorted(MAN.iterdir())
COMMANDS = dict(reference.commands())


@pytest.mark.parametrize("page", FILES, ids=lambda path: path.name)
def test_mandoc_finds_no_fault(page: Path) -> None:
    if shutil.which("mandoc") is None:
        if os.geteuid() == 0:
            pytest.fail("mandoc is missing; run: apt-get install mandoc", pytrace=False)
        pytest.skip("mandoc is not installed; run: apt-get install mandoc")
    done = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", str(page)],
        capture_output=True,
        text=True,
        check=False,
        timeout=patience.seconds(30),
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_each_program_has_its_page() -> None:
    assert set(PAGES) == {name.split()[0] for name in COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_in_the_page(name: str) -> None:
    program, *verbs = name.split()
    if verbs and not isinstance(COMMANDS[name].command, click.Group):
        for line in (r"\.It Cm", r"\.Cm"):  # what it does, and the synopsis
            found = rf"^{line} ([a-z]+ \| )*{' '.join(verbs)}( |$)"
            assert re.search(found, PAGES[program].read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", PAGES)
def test_the_page_has_the_options_that_the_commands_have(name: str) -> None:
    listed = re.findall(r"^\.It Fl ([^A-Z\n]+)", PAGES[name].read_text(), re.MULTILINE)
    assert {f"-{each.strip()}" for line in listed for each in line.split(",")} == {
        option
        for command, context in COMMANDS.items()
        if command.split()[0] == name
        for parameter in context.command.get_params(context)
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    }


def test_every_key_of_a_file_is_in_the_page() -> None:
    page = PAGES["fs-tunnel"].read_text()
    for keys in config._KEYS.values():
        for key in keys.values():
            assert re.search(rf"^\.It Li .*\b{key}\b", page, re.MULTILINE), key


def test_exit_codes_are_those_of_the_errors() -> None:
    listed = PAGES["fs-tunnel"].read_text().partition(".Sh EXIT STATUS")[2].partition(".Sh")[0]
    raised = {
        each.exit_code
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.FlowShieldError)
    }
    done, interrupted = 0, 130
    assert {int(code) for code in re.findall(r"^\.It (\d+)", listed, re.MULTILINE)} == (
        raised | {done, interrupted}
    )


def test_the_schema_is_that_of_status() -> None:
    assert f".Li schema ,\nwhich is {SCHEMA}," in PAGES["fs-tunnel"].read_text()


def test_every_variable_of_the_environment_is_in_a_page() -> None:
    sources = "".join(path.read_text() for path in REPOSITORY.glob("fs_*/**/*.py"))
    used = set(re.findall(r"environ(?:\.get\(|\[)\"(\w+)\"", sources))
    pages = "".join(path.read_text() for path in PAGES.values())
    named = set(re.findall(r"^\.It Ev (\w+)", pages, re.MULTILINE))
    assert used == named


def test_the_page_has_the_keys_of_the_market() -> None:
    """Those of each section of market.toml, in the list that follows its name."""
    page = (MAN / "market.toml.5").read_text()
    sections = dict(
        re.findall(r"^\.Ss Section \[(\w+)\]\n(.*?)^\.El$", page, re.MULTILINE | re.DOTALL)
    )
    listed = {
        section: {
            key.strip()
            for line in re.findall(r"^\.It Li (.+)$", text, re.MULTILINE)
            for key in line.split(",")
        }
        for section, text in sections.items()
    }
    assert listed == {
        **market_settings._SECTIONS,
        "provider": {*provider_settings._REQUIRED, *provider_settings._DEFAULTS},
        "network": set(network_settings._KNOWN),
    }
