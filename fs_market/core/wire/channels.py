# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""A payment channel: its terms, its name, what is signed for it, and its status on the chain.

A channel is named by the hash of chain, contract and terms.  Everybody who knows the terms knows
the name, and no two channels share one.  Source of the structs: contracts/SPEC.md, "Signatures".
"""

from dataclasses import dataclass

from fs_market.core.wire.eip712 import Domain, Word, encode_words, struct_hash, type_hash
from fs_market.core.wire.ethereum import Address, keccak
from fs_market.core.wire.schema import U32, U48, Account, BaseUnits, Hash, Signature

_TERMS = (
    "Terms(address payer,address payee,address sessionKey,uint32 window,uint48 expiresAt,"
    "bytes32 order,bytes32 salt)"
)
_TERMS_TYPE = type_hash(_TERMS)
_OPEN_TYPE = type_hash(f"Open(Terms terms,uint96 amount,uint48 deadline){_TERMS}")
_VOUCHER_TYPE = type_hash("Voucher(bytes32 channelId,uint96 cumulative)")
_CLOSE_TYPE = type_hash("Close(bytes32 channelId,uint96 cumulative)")


@dataclass(frozen=True, slots=True)
class Terms:
    """The purpose of a channel; it is fixed when the channel is opened."""

    payer: Account
    payee: Account
    session_key: Account  # signs vouchers
    window: U32  # seconds between the payer's request to close and the end: the close window
    expires_at: U48  # seconds since the epoch
    order: Hash  # the digest of the quote that was accepted
    salt: Hash  # makes channels of the same terms distinct

    @property
    def words(self) -> tuple[Word, ...]:
        """The fields in the order in which the contract takes them."""
        return (
            *(self.payer, self.payee, self.session_key, self.window),
            *(self.expires_at, self.order, self.salt),
        )


@dataclass(frozen=True, slots=True)
class Voucher:
    """The session key promises ``cumulative`` base units since the opening.

    The signature is r ‖ s ‖ v, 65 bytes.
    """

    channel: Hash
    cumulative: BaseUnits
    signature: Signature


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """The state of a channel on the chain; amounts are in base units."""

    deposit: int
    claimed: int = 0
    closes_at: int = 0  # seconds since the epoch; 0 if nobody asked to close
    is_final: bool = False  # the opening has as many confirmations as the user asks for


def channels_domain(chain_id: int, channels: Address) -> Domain:
    """Return the EIP-712 domain of everything that is signed for the contract ``Channels``."""
    return Domain("FlowShield Channels", "1", chain_id, channels)


def channel_id(domain: Domain, terms: Terms) -> bytes:
    """Return keccak256(abi.encode(chain id, contract, terms)): 32 bytes."""
    return keccak(encode_words(domain.chain_id, domain.contract) + encode_words(*terms.words))


def open_digest(domain: Domain, terms: Terms, amount: int, deadline: int) -> bytes:
    """Return the 32 bytes that a payer signs so that anybody may open the channel for it.

    ``amount`` is in base units, ``deadline`` in seconds since the epoch.
    """
    nested = struct_hash(_TERMS_TYPE, *terms.words)
    return domain.digest(struct_hash(_OPEN_TYPE, nested, amount, deadline))


def voucher_digest(domain: Domain, channel: bytes, cumulative: int) -> bytes:
    """Return the 32 bytes that the session key signs for a voucher."""
    return domain.digest(struct_hash(_VOUCHER_TYPE, channel, cumulative))


def close_digest(domain: Domain, channel: bytes, cumulative: int) -> bytes:
    """Return the 32 bytes that a payee signs so that the payer may close the channel at once.

    The payee keeps ``cumulative`` base units.
    """
    return domain.digest(struct_hash(_CLOSE_TYPE, channel, cumulative))
