# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The terms between buyers and seller in the bench; keys are new for each run."""

import hashlib

from fs_market.core.money.prices import Price
from fs_market.core.wire.channels import channels_domain
from fs_market.core.wire.ethereum import Address
from fs_market.core.wire.signatures import SigningKey

DEPOSIT = 10**12  # base units
PRICE = Price(1000, 1000)
DOMAIN = channels_domain(31337, Address(bytes(19) + b"\x01"))
TOKEN, PAYEE, PAYER = (Address(bytes(19) + bytes([n])) for n in (2, 3, 4))
# This key has no value, but both processes must know it.
NODE = SigningKey(hashlib.sha256(b"the node of the bench").digest())
