# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A place at a provider: which descriptions are valid, and the files that are made from it."""

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fs_market.errors import MarketError
from fs_tunnel.config import load
from fs_tunnel.roles.client import places
from fs_tunnel.roles.client.places import Place, parse_place_untrusted
from fs_tunnel.roles.market_files import MarketFiles
from fs_tunnel.roles.starts import PayStart
from fs_wire.types import PrivateKey, PublicKey
from tests.roles.client.dealings import DEALING

KEY = PublicKey(bytes(range(32)))
TOLD: dict[str, Any] = {
    "wireguard_key": KEY.to_base64(),
    "endpoint": "192.0.2.1:51820",
    "addresses": ["10.66.0.2", "fd66::2"],
    "dns": ["10.66.0.1"],
    "gateway": "10.66.0.1",
    "payment_port": 4701,
    "mtu": 1420,
}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
)


def test_a_place_becomes_a_file_and_a_payer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FS_TUNNEL_STATE_DIR", str(tmp_path))
    (tmp_path / "market").mkdir()
    files, private = MarketFiles("paid"), PrivateKey(bytes(range(1, 33)))
    places.take(files, private, parse_place_untrusted(TOLD), DEALING)
    config = load(files.conf)
    assert [str(each) for each in config.interface.addresses] == ["10.66.0.2/32", "fd66::2/128"]
    assert [str(each) for each in config.interface.dns] == ["10.66.0.1"]
    assert config.interface.private_key == private
    (peer,) = config.peers
    assert (peer.public_key, str(peer.endpoint)) == (KEY, "192.0.2.1:51820")
    assert [str(each) for each in peer.allowed_ips] == ["0.0.0.0/0", "::/0"]
    start = files.read_start()
    assert isinstance(start, PayStart)
    assert start.dealing == DEALING
    assert files.role() == "client"
    assert (str(start.gateway), start.payment_port) == ("10.66.0.1", 4701)
    assert files.conf.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("wireguard_key", "not base64"),
        ("wireguard_key", None),
        ("endpoint", "provider.example:51820"),
        ("endpoint", "127.0.0.1:51820"),
        ("endpoint", "0.0.0.0:51820"),
        ("endpoint", "[ff02::1]:51820"),
        ("endpoint", "[fe80::1%eth0]:51820"),
        ("addresses", []),
        ("addresses", "10.66.0.2"),
        ("addresses", ["10.66.0.2\nPostUp = id"]),
        ("addresses", ["10.66.0.2/0"]),
        ("addresses", ["10.66.0.2"] * 17),
        ("dns", ["10.66.0.1, example.com"]),
        ("dns", ["fe80::1%eth0"]),
        ("gateway", "gateway.example"),
        ("payment_port", 0),
        ("payment_port", 65536),
        ("payment_port", "x"),
    ],
)
def test_what_is_no_place_is_refused(member: str, value: object) -> None:
    with pytest.raises(MarketError, match="choose another"):
        parse_place_untrusted({**copy.deepcopy(TOLD), member: value})


@pytest.mark.parametrize("member", [each for each in TOLD if each != "mtu"])
def test_nothing_may_be_missing(member: str) -> None:
    with pytest.raises(MarketError):
        parse_place_untrusted({name: value for name, value in TOLD.items() if name != member})


@given(JSON_VALUES | st.fixed_dictionaries(dict.fromkeys(TOLD, JSON_VALUES)))
def test_anything_is_a_place_or_refused(told: object) -> None:
    try:
        place = parse_place_untrusted(told)
    except MarketError:
        return
    assert isinstance(place, Place)
