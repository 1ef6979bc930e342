# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""How many vouchers a second one core signs, and checks with all checks of a provider."""

import os
import time
from pathlib import Path

from coincurve import PrivateKey

from fs_market.core.money.vouchers import screen_untrusted, sign_voucher, verify_untrusted
from fs_market.core.wire.channels import Voucher, channels_domain
from fs_market.core.wire.ethereum import Address, keccak
from fs_market.core.wire.messages import parse_untrusted, serialize
from fs_market.core.wire.signatures import SigningKey
from tools.bench.figures import Sample


def measure(_: Path, *, count: int) -> Sample:
    """Measure; raises VoucherRefused if a voucher is invalid."""
    key = SigningKey(PrivateKey().secret)
    domain = channels_domain(1, Address(keccak(b"channels")[12:]))
    channel = keccak(b"channel")
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        began = time.perf_counter()
        sent = [serialize(sign_voucher(key, domain, channel, n)) for n in range(1, count + 1)]
        signed = time.perf_counter()
        for accepted, data in enumerate(sent):
            voucher = parse_untrusted(data)
            assert isinstance(voucher, Voucher)
            screen_untrusted(voucher, channel, count, accepted)
            verify_untrusted(voucher, domain, key.address)
        checked = time.perf_counter()
    finally:
        os.sched_setaffinity(0, cores)
    yield "vouchers_signed", count / (signed - began)
    yield "vouchers_checked", count / (checked - signed)
