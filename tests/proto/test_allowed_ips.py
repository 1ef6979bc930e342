# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Cryptokey routing against a model that looks at every network."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from fs_tunnel.proto.allowed_ips import AllowedIPs
from fs_wire.types import IPNetwork

# Few distinct bits, so that networks often contain each other.
v4 = st.builds(
    lambda bits, length: IPv4Network((bits << 24, length), strict=False),
    st.integers(0, 255),
    st.integers(0, 32),
)
v6 = st.builds(
    lambda bits, length: IPv6Network((bits << 120, length), strict=False),
    st.integers(0, 255),
    st.integers(0, 128),
)
networks = st.one_of(v4, v6)
owners = st.sampled_from(["alice", "bob", "carol"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), networks, owners),
        st.tuples(st.just("remove"), networks, owners),
        st.tuples(st.just("remove_value"), networks, owners),
    ),
    max_size=40,
)


def owner_in(model: dict[IPNetwork, str], address: bytes) -> str | None:
    holding = [network for network in model if ip_address(address) in network]
    return model[max(holding, key=lambda network: network.prefixlen)] if holding else None


@given(steps, st.lists(st.integers(0, 255), max_size=20))
def test_the_table_is_the_model(
    sequence: list[tuple[str, IPNetwork, str]], heads: list[int]
) -> None:
    table: AllowedIPs[str] = AllowedIPs()
    model: dict[IPNetwork, str] = {}
    for action, network, owner in sequence:
        if action == "insert":
            table.insert(network, owner)
            model[network] = owner
        elif action == "remove":
            table.remove(network, owner)
            if model.get(network) == owner:
                del model[network]
        else:
            table.remove_value(owner)
            model = {net: who for net, who in model.items() if who != owner}
    for head in heads:
        for address in (bytes([head, 0, 0, 0]), bytes([head, 1, 2, 3]), bytes([head]) + bytes(15)):
            assert table.lookup(address) == owner_in(model, address)
    for owner in ("alice", "bob", "carol"):
        owned = table.networks_of(owner)
        assert len(owned) == len(set(owned))
        assert set(owned) == {network for network, who in model.items() if who == owner}


def test_the_more_specific_network_of_another_wins() -> None:
    table: AllowedIPs[str] = AllowedIPs()
    table.insert(ip_network("0.0.0.0/0"), "alice")
    table.insert(ip_network("10.0.0.0/8"), "bob")
    table.insert(ip_network("10.1.2.3/32"), "carol")
    assert table.lookup(ip_address("192.0.2.1").packed) == "alice"
    assert table.lookup(ip_address("10.1.2.4").packed) == "bob"
    assert table.lookup(ip_address("10.1.2.3").packed) == "carol"
    assert table.lookup(ip_address("::1").packed) is None


def test_the_families_do_not_mix() -> None:
    table: AllowedIPs[str] = AllowedIPs()
    table.insert(ip_network("::/0"), "alice")
    assert table.lookup(bytes(4)) is None
    assert table.lookup(bytes(16)) == "alice"


def test_networks_come_back_in_the_order_they_were_given() -> None:
    table: AllowedIPs[str] = AllowedIPs()
    given_order = [ip_network(f"10.{n}.0.0/16") for n in (3, 1, 2)]
    for network in given_order:
        table.insert(network, "alice")
    assert table.networks_of("alice") == given_order
    assert table.networks_of("nobody") == []
