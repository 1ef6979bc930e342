# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""The signature that a ``StakeBook`` asks for.  Source: contracts/SPEC.md, "Signatures"."""

from fs_market.core.wire.eip712 import Domain, struct_hash, type_hash
from fs_market.core.wire.ethereum import Address

_BIND_TYPE = type_hash("Bind(address key,address owner)")


def stakes_domain(chain_id: int, stakes: Address) -> Domain:
    """Return the EIP-712 domain of everything that is signed for the contract at ``stakes``."""
    return Domain("FlowShield StakeBook", "1", chain_id, stakes)


def bind_digest(domain: Domain, key: Address, owner: Address) -> bytes:
    """Return the 32 bytes that ``key`` signs so that ``owner`` may stake for it."""
    return domain.digest(struct_hash(_BIND_TYPE, key, owner))
