"""What is signed for a ``StakeBook``; contracts/SPEC.md, "Signatures", has the structs."""

from fs_market.core.wire.eip712 import Domain, struct_hash, type_hash
from fs_market.core.wire.ethereum import Address

_BIND_TYPE = type_hash("Bind(address key,address owner)")


def stakes_domain(chain_id: int, stakes: Address) -> Domain:
    """The domain of everything signed for that book."""
    return Domain("FlowShield StakeBook", "1", chain_id, stakes)


def bind_digest(domain: Domain, key: Address, owner: Address) -> bytes:
    """What ``key`` signs so that ``owner`` may stake under it: 32 bytes."""
    return domain.digest(struct_hash(_BIND_TYPE, key, owner))
