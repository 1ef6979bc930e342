# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The guides, typed literally from their first line to their last, and what they promise."""

import re

import pytest

from tests.guides.blocks import GUIDES, blocks_of
from tests.guides.world import ADDRESSES, PAGE, World, world
from tests.netns.waiting import wait_until

NAMES = sorted(path.stem for path in GUIDES.glob("*.md"))
KEY = re.compile(r"^[A-Za-z0-9+/]{43}=$", re.MULTILINE)
EARNED = re.compile(r"^deposited: (\S+) FST", re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_each_block_says_whose_terminal_it_is_for(name: str) -> None:
    hosts = {*ADDRESSES, "both"}
    assert [block for block in blocks_of(name) if block.host not in hosts] == []
    assert all(block.names for block in blocks_of(name) if block.kind == "settings")


@pytest.mark.netns
def test_a_client_with_a_file() -> None:
    with world("provider", "client") as made:
        first, *settings, serve, up, check, down, end = blocks_of("client-with-a-file")
        made.type_block(first, {})
        public = {host: KEY.findall(terminal.log)[-1] for host, terminal in made.terminals.items()}
        values = {
            "CLIENT_KEY": public["client"],
            "PROVIDER_KEY": public["provider"],
            "PROVIDER": ADDRESSES["provider"],
        }
        for block in settings:
            assert block.kind == "settings"
            made.type_block(block, values)
        assert "exit is up" in made.type_block(serve, values)
        assert "home is up" in made.type_block(up, values)
        assert "home  up  connected" in made.type_block(check, values)
        assert made.page("client") == PAGE
        assert "home is down" in made.type_block(down, values)
        assert "exit is down" in made.type_block(end, values)


@pytest.mark.netns
def test_a_market_of_ones_own() -> None:
    """Full node, provider and buyer, one guide after another."""
    with world(*ADDRESSES) as made:
        values = {"FULLNODE": ADDRESSES["fullnode"], "PROVIDER": ADDRESSES["provider"]}
        values |= {"COUNTRY": "DE", "BOOTSTRAP": _run_a_full_node(made, values)}
        shown = made.type("provider", values, ("settings", ""))
        assert "selling at 5.75.2.2:4700, for 0.05 FST/GiB + 0.01 FST/h" in shown
        _buy(made, values)
        shown = made.type("provider", values, ("later",))
        assert float(EARNED.findall(shown)[-1]) > 0
        assert "exit is down" in shown


def _run_a_full_node(made: World, values: dict[str, str]) -> str:
    """Its address in the network."""
    settings, chain, node, check = blocks_of("full-node")
    terminal = made.terminals["fullnode"]
    made.type_block(settings, values)
    assert "settings: chain/market.toml" in terminal.start(chain.text, "settings: ")
    said = terminal.start(node.text, "page: ")
    assert '"providers":[]' in made.type_block(check, values).replace(" ", "")
    assert "<html" in made.page("fullnode")
    address = re.search(r"^listens: (\S+)$", said, re.MULTILINE)
    assert address is not None
    return address[1]


def _buy(made: World, values: dict[str, str]) -> None:
    shown = made.type("buyer", values, ("settings", ""))
    assert "DE" in shown
    assert "paid  up  connected" in shown
    assert made.page("client") == PAGE
    assert "paid is down" in shown
    end = blocks_of("buyer")[-1]
    assert end.kind == "later"

    def closed() -> str:
        told = made.type_block(end, values)
        return told if re.search(r" closed$", told, re.MULTILINE) else ""

    last = wait_until(closed, what="the provider closes the channel", seconds=60)
    before, after = (float(EARNED.findall(each)[-1]) for each in (shown, last))
    assert 4.99 < after < before == 5
