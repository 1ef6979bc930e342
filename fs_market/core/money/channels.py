"""A payment channel: its terms, its name, and what the chain says of it.

contracts/SPEC.md, "Signatures", has the structs.  A channel is named by the hash of chain,
contract and terms: whoever knows the terms knows the name, and no two channels share one.
"""

from dataclasses import dataclass

from fs_market.core.wire.eip712 import Domain, encode_words, struct_hash, type_hash
from fs_market.core.wire.ethereum import Address, keccak
from fs_market.core.wire.schema import U32, U48, Account, Hash

_TERMS = (
    "Terms(address payer,address payee,address sessionKey,uint32 window,uint48 expiresAt,"
    "bytes32 order,bytes32 salt)"
)
_TERMS_TYPE = type_hash(_TERMS)
_OPEN_TYPE = type_hash(f"Open(Terms terms,uint96 amount,uint48 deadline){_TERMS}")
_CLOSE_TYPE = type_hash("Close(bytes32 channelId,uint96 cumulative)")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a channel is for; fixed when it is opened."""

    payer: Account
    payee: Account
    session_key: Account  # signs vouchers
    window: U32  # seconds between the payer's wish to close and the end
    expires_at: U48  # seconds since the epoch
    order: Hash  # the digest of the quote that was accepted
    salt: Hash  # makes channels of the same terms distinct


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """What the chain says of a channel, in base units."""

    deposit: int
    claimed: int = 0
    closes_at: int = 0  # seconds since the epoch; 0: nobody asked for the end
    is_final: bool = False  # the opening is as final as the chain's policy asks


def channels_domain(chain_id: int, channels: Address) -> Domain:
    """The domain of everything signed for the contract ``Channels``."""
    return Domain("FlowShield Channels", "1", chain_id, channels)


def channel_id(domain: Domain, terms: Terms) -> bytes:
    """keccak256(abi.encode(chain id, contract, terms)): 32 bytes."""
    return keccak(encode_words(domain.chain_id, domain.contract) + encode_words(*_words(terms)))


def open_digest(domain: Domain, terms: Terms, amount: int, deadline: int) -> bytes:
    """What the payer signs so that another may open the channel with ``amount`` base units."""
    nested = struct_hash(_TERMS_TYPE, *_words(terms))
    return domain.digest(struct_hash(_OPEN_TYPE, nested, amount, deadline))


def close_digest(domain: Domain, channel: bytes, cumulative: int) -> bytes:
    """What the payee signs so that the payer may close at once, leaving it ``cumulative``."""
    return domain.digest(struct_hash(_CLOSE_TYPE, channel, cumulative))


def _words(terms: Terms) -> tuple[Address | int | bytes, ...]:
    return (
        *(terms.payer, terms.payee, terms.session_key, terms.window),
        *(terms.expires_at, terms.order, terms.salt),
    )
