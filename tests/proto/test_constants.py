# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""What every peer must agree on, as the paper prints it.

Two of our own devices would agree on any numbers: these are written out to be WireGuard's.
"""

import pytest

from fs_tunnel.proto import constants
from fs_tunnel.proto.crypto import hash32

# WireGuard paper, sections 5.4 and 6.1.
PAPER = {
    "LABEL_MAC1": b"mac1----",
    "LABEL_COOKIE": b"cookie--",
    "REKEY_AFTER_MESSAGES": 1_152_921_504_606_846_976,
    "REJECT_AFTER_MESSAGES": 18_446_744_073_709_543_423,
    "REKEY_AFTER_TIME": 120,
    "REJECT_AFTER_TIME": 180,
    "REKEY_ATTEMPT_TIME": 90,
    "REKEY_TIMEOUT": 5,
    "KEEPALIVE_TIMEOUT": 10,
    "COOKIE_LIFETIME": 120,
    "REKEY_WHEN_RECEIVING_AFTER": 165,
    "ERASE_KEYS_AFTER": 540,
    "NEW_HANDSHAKE_AFTER": 15,
    "MAX_HANDSHAKE_ATTEMPTS": 18,
    "PADDING_MULTIPLE": 16,
    "MIN_INITIATION_INTERVAL": 0.02,
}


@pytest.mark.parametrize(("name", "value"), PAPER.items())
def test_the_papers_value(name: str, value: bytes | float) -> None:
    assert getattr(constants, name) == value


def test_the_handshake_begins_as_other_implementations_do() -> None:
    # InitialChainKey and InitialHash of wireguard-go, device/noise-protocol.go.
    chaining_key = hash32(constants.CONSTRUCTION)
    assert chaining_key.hex() == "60e26daef327efc02ec335e2a025d2d016eb4206f87277f52d38d1988b78cd36"
    begun = hash32(chaining_key, constants.IDENTIFIER)
    assert begun.hex() == "2211b361081ac566691243db458ad5322d9c6c662293e8b70ee19c65ba079ef3"
