// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IStakeBook} from "./IStakeBook.sol";

/// @title Entries that providers write about themselves, under the key of their stake
/// @notice An entry counts only while the stake behind it counts and covers its slots.
interface IRegistry {
    /// @notice The offer of a provider.
    struct Offer {
        /// @dev The number of clients that it serves at a time; each slot needs `bondPerSlot`.
        uint32 slots;
        /// @dev SHA-256 of its price list.
        bytes32 priceList;
        /// @dev Binary CIDv1 of further metadata, or empty; at most 72 bytes.
        bytes metadata;
    }

    struct Entry {
        /// @dev The owner of the stake, who wrote the entry. The entry is void if the stake's owner changes.
        address owner;
        /// @dev The payee of its channels.
        address payout;
        /// @dev When the heartbeat key was last changed, in seconds since the epoch.
        uint48 heartbeatSince;
        /// @dev The node key: the Ed25519 public key that signs the provider's records.
        bytes32 nodeKey;
        /// @dev The Ed25519 public key that signs the provider's heartbeats.
        bytes32 heartbeatKey;
        Offer offer;
    }

    event Announced(address indexed provider, Entry entry);
    event Offered(address indexed provider, Offer offer);
    event HeartbeatRotated(address indexed provider, bytes32 indexed heartbeatKey, bytes32 previous);
    event Retired(address indexed provider);

    /// @notice The caller may not change this provider.
    error NotParty();
    /// @notice A key, an address, a digest or the slots are zero, or the CID is too long.
    error BadEntry();
    /// @notice These slots need a stake of `bond`.
    error Underbonded(uint256 bond);
    /// @notice The owner of the provider's stake has written no entry.
    error NoEntry();
    /// @notice The call would change nothing.
    error NothingNew();

    /// @notice The owner of the provider's stake writes the whole entry, or replaces it.
    /// @dev Only the owner sets the payout account and the node key. The provider's key is not enough.
    function announce(
        address provider,
        address payout,
        bytes32 nodeKey,
        bytes32 heartbeatKey,
        Offer calldata offer
    ) external;

    /// @notice The owner or the provider's key changes the offer.
    function changeOffer(address provider, Offer calldata offer) external;

    /// @notice The owner or the provider's key replaces the heartbeat key. The old key is invalid from then on.
    function rotateHeartbeat(address provider, bytes32 heartbeatKey) external;

    /// @notice The owner or the provider's key removes the entry. The stake stays and has its own exit.
    function retire(address provider) external;

    /// @notice The book that holds the providers' stakes.
    function book() external view returns (IStakeBook);

    /// @notice The stake that each slot needs, in base units.
    function bondPerSlot() external view returns (uint96);

    function entryOf(address provider) external view returns (Entry memory);

    /// @notice Whether the owner of the stake has written an entry, and the stake counts and covers the slots. A
    /// stake whose exit was requested counts as 0, so the request ends the listing at once.
    function isListed(address provider) external view returns (bool);
}
