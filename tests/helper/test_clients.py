# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What an engine tells of its clients' endpoints."""

from fs_tunnel.helper.clients import endpoints_told
from fs_wire.types import KEY_LEN, Endpoint, PublicKey

ALICE, BOB = PublicKey(b"\1" * KEY_LEN), PublicKey(b"\2" * KEY_LEN)


def test_a_status_tells_all_and_an_event_one() -> None:
    status = {
        "ok": True,
        "peers": {
            ALICE.to_base64(): {"endpoint": "192.0.2.1:7", "rx_bytes": 1},
            BOB.to_base64(): {"endpoint": None},
        },
    }
    assert endpoints_told(status) == {ALICE: Endpoint("192.0.2.1", 7)}
    event = {"event": "endpoint_moved", "peer": BOB.to_base64(), "endpoint": "[fd66::2]:8"}
    assert endpoints_told(event) == {BOB: Endpoint("fd66::2", 8)}
    for other in ({"ok": True}, {"event": "credit_low", "peer": "x"}):
        assert endpoints_told(other) == {}
    assert endpoints_told({**event, "endpoint": "nowhere"}) == {}
