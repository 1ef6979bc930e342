# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The section [network]."""

import pytest

from fs_net.settings import NetworkSettings, parse_network
from fs_wire.errors import ConfigError

NODE = "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooW"


def test_all_of_it_may_be_left_out() -> None:
    assert parse_network({}, "x") == NetworkSettings()
    assert NetworkSettings().listen == ("/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1")


def test_what_is_written_is_taken() -> None:
    parsed = parse_network(
        {"bootstrap": [NODE], "listen": ["/ip4/127.0.0.1/tcp/0"], "local_peers": True}, "x"
    )
    assert parsed == NetworkSettings((NODE,), ("/ip4/127.0.0.1/tcp/0",), True)


@pytest.mark.parametrize(
    "section",
    [
        {"bootstraps": []},
        {"bootstrap": NODE},
        {"bootstrap": [1]},
        {"bootstrap": ["192.0.2.1:4001"]},
        {"bootstrap": ["/ip4/192.0.2.1/tcp/4001"]},
        {"bootstrap": [NODE + "x" * 300]},
        {"bootstrap": [NODE + "\n"]},
        {"bootstrap": [NODE] * 33},
        {"listen": "/ip4/0.0.0.0/tcp/1"},
        {"local_peers": 1},
    ],
)
def test_what_is_wrong_is_named(section: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as error:
        parse_network(section, "market.toml")
    assert "market.toml" in str(error.value)
    assert next(iter(section)) in str(error.value)
