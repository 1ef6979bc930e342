# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What each side signs about the endpoints at which it can be called."""

from dataclasses import replace

import pytest
from coincurve import PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from fs_market.core.wire.channels import channels_domain
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.messages import parse_untrusted, serialize
from fs_market.core.wire.rendezvous import Meeting, sign_meeting, verify_rendezvous_untrusted
from fs_market.core.wire.signatures import SigningKey
from fs_market.errors import MalformedMessage, Refused
from fs_wire.types import Endpoint

KEY, OTHER = (SigningKey(PrivateKey().secret) for _ in range(2))
DOMAIN = channels_domain(31337, Address(bytes(19) + b"\1"))
HERE = (Endpoint("203.0.113.1", 51820), Endpoint("2001:db8::1", 51820))
MEETING = Meeting(bytes(32), 1, HERE, 1)


def test_its_makers_word_is_authentic_and_survives_the_wire() -> None:
    said = sign_meeting(KEY, DOMAIN, MEETING)
    assert parse_untrusted(serialize(said)) == said
    verify_rendezvous_untrusted(said, DOMAIN, KEY.address)


@pytest.mark.parametrize(
    "changed",
    [
        {"channel": b"\1" * 32},
        {"sequence": 2},
        {"endpoints": HERE[:1]},
        {"endpoints": HERE[::-1]},
        {"mapping": 2},
    ],
)
def test_no_field_can_be_changed_on_the_way(changed: dict[str, object]) -> None:
    said = sign_meeting(KEY, DOMAIN, MEETING)
    forged = replace(said, meeting=replace(MEETING, **changed))  # type: ignore[arg-type]
    with pytest.raises(Refused):
        verify_rendezvous_untrusted(forged, DOMAIN, KEY.address)


def test_nobody_elses_word_counts_nor_that_for_another_contract() -> None:
    elsewhere = channels_domain(1, Address(bytes(19) + b"\1"))
    for said in (sign_meeting(OTHER, DOMAIN, MEETING), sign_meeting(KEY, elsewhere, MEETING)):
        with pytest.raises(Refused):
            verify_rendezvous_untrusted(said, DOMAIN, KEY.address)


@given(st.integers(0, 40))
def test_more_endpoints_than_a_few_are_malformed(count: int) -> None:
    said = serialize(sign_meeting(KEY, DOMAIN, replace(MEETING, endpoints=HERE[:1] * count)))
    if count <= 4:
        assert len(parse_untrusted(said).meeting.endpoints) == count  # type: ignore[union-attr]
        return
    with pytest.raises(MalformedMessage):
        parse_untrusted(said)
