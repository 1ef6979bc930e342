// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {IStakeBook} from "./IStakeBook.sol";

/// @title What a provider says of itself, under the key of its stake
/// @notice An entry is believed as far as the stake behind it goes, and while that stake counts.
interface IRegistry {
    /// @notice What it sells.
    struct Offer {
        /// @dev How many clients it serves at a time; each needs its bond.
        uint32 slots;
        /// @dev SHA-256 of its price list.
        bytes32 priceList;
        /// @dev Binary CIDv1 of what else it says, or nothing; at most 72 bytes.
        bytes metadata;
    }

    struct Entry {
        /// @dev The owner of the stake, who wrote the entry. Under another owner it counts for nothing.
        address owner;
        /// @dev The payee of its channels.
        address payout;
        /// @dev When the heartbeat key was last changed, in seconds since the epoch.
        uint48 heartbeatSince;
        /// @dev Ed25519 public key that signs its records: the node key.
        bytes32 nodeKey;
        /// @dev Ed25519 public key that signs its heartbeats.
        bytes32 heartbeatKey;
        Offer offer;
    }

    event Announced(address indexed provider, Entry entry);
    event Offered(address indexed provider, Offer offer);
    event HeartbeatRotated(address indexed provider, bytes32 indexed heartbeatKey, bytes32 previous);
    event Retired(address indexed provider);

    /// @notice The caller has no say over this provider.
    error NotParty();
    /// @notice A key, an address, a digest or the slots are zero, or the CID is too long.
    error BadEntry();
    /// @notice So many slots need a stake of `bond`.
    error Underbonded(uint256 bond);
    /// @notice The provider has no entry by its stake's owner.
    error NoEntry();
    /// @notice It would change nothing.
    error NothingNew();

    /// @notice The owner of the provider's stake writes its whole entry, or writes it anew.
    /// @dev Only the owner names the payout address and the node key. The provider's key may rest.
    function announce(
        address provider,
        address payout,
        bytes32 nodeKey,
        bytes32 heartbeatKey,
        Offer calldata offer
    ) external;

    /// @notice Owner or key change what is on offer.
    function changeOffer(address provider, Offer calldata offer) external;

    /// @notice Owner or key replace the heartbeat key: what the one before signs counts no more.
    function rotateHeartbeat(address provider, bytes32 heartbeatKey) external;

    /// @notice Owner or key remove the entry. The stake stays, and has an exit of its own.
    function retire(address provider) external;

    /// @notice The book of the providers' stakes.
    function book() external view returns (IStakeBook);

    /// @notice Stake that each slot needs, in base units.
    function bondPerSlot() external view returns (uint96);

    function entryOf(address provider) external view returns (Entry memory);

    /// @notice Whether it has an entry of its stake's owner, and a stake that counts and suffices for its slots. A stake that is
    /// leaving counts for nothing, so that unbonding ends the listing at once.
    function isListed(address provider) external view returns (bool);
}
