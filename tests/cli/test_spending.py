# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What ``status`` says of a provider in the network: how things are, and what to do."""

from typing import Any

import pytest

from fs_net.errors import Reason
from fs_tunnel.cli.spending import summary
from fs_tunnel.roles.provider.announcing import remedy_for

ZERO = {"units": "0", "text": "0 FST"}


def told(network: dict[str, Any] | None) -> str:
    said = {
        "role": "provider",
        "state": "ready",
        "price": "1 FST/GiB",
        "clients": {},
        "served": 0,
        "paid": ZERO,
        "bytes": 0,
        "network": network,
    }
    return summary(said).splitlines()[1]


def network(state: str, full_nodes: int = 0, relays: int = 0, reason: Reason | None = None) -> str:
    return told(
        {
            "state": state,
            "full_nodes": full_nodes,
            "relays": relays,
            "reason": reason.value if reason else None,
            "remedy": remedy_for(reason) if reason else None,
        }
    )


def test_who_knows_of_it() -> None:
    assert network("announced", 1) == "network: known to 1 full node"
    assert network("announced", 3, 2) == "network: known to 3 full nodes, passed on by 2"
    assert network("searching").endswith("full node can be reached; check bootstrap in [network]")
    assert told({"state": "starting"}) == "network: starting"


def test_without_the_section_it_is_said_what_to_add() -> None:
    assert "add a section [network]" in told(None)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_comes_with_what_to_do(reason: Reason) -> None:
    said = network("refused", reason=reason)
    assert said == f"network: refused; {reason.value}: {remedy_for(reason)}"
    assert remedy_for(reason)


def test_a_missing_stake_names_the_command() -> None:
    assert "fs-tunnel market stake" in network("refused", reason=Reason.UNSTAKED)
    assert "fs-tunnel market announce" in network("refused", reason=Reason.BAD_SIGNATURE)
