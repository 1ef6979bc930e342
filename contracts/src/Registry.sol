// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {IStakeBook} from "./interfaces/IStakeBook.sol";

/// @title Entries that providers write about themselves
/// @notice See IRegistry and SPEC.md. This contract holds no money.
contract Registry is IRegistry {
    /// @dev A CIDv1 with a SHA-256 digest has 36 bytes. Longer digests fit too.
    uint256 private constant MAX_CID = 72;

    /// @inheritdoc IRegistry
    IStakeBook public immutable book;
    /// @inheritdoc IRegistry
    uint96 public immutable bondPerSlot;

    mapping(address provider => Entry) private _entries;

    constructor(IStakeBook book_, uint96 bondPerSlot_) {
        book = book_;
        bondPerSlot = bondPerSlot_;
    }

    /// @inheritdoc IRegistry
    function announce(
        address provider,
        address payout,
        bytes32 nodeKey,
        bytes32 heartbeatKey,
        Offer calldata offer
    ) external {
        if (msg.sender != book.ownerOf(provider)) revert NotParty();
        if (payout == address(0) || nodeKey == 0 || heartbeatKey == 0) revert BadEntry();
        _checkOffer(provider, offer);
        Entry storage e = _entries[provider];
        if (heartbeatKey != e.heartbeatKey) e.heartbeatSince = Time.timestamp();
        e.owner = msg.sender;
        e.payout = payout;
        e.nodeKey = nodeKey;
        e.heartbeatKey = heartbeatKey;
        e.offer = offer;
        emit Announced(provider, e);
    }

    /// @inheritdoc IRegistry
    function changeOffer(address provider, Offer calldata offer) external {
        Entry storage e = _entryForCaller(provider);
        _checkOffer(provider, offer);
        e.offer = offer;
        emit Offered(provider, offer);
    }

    /// @inheritdoc IRegistry
    function rotateHeartbeat(address provider, bytes32 heartbeatKey) external {
        Entry storage e = _entryForCaller(provider);
        bytes32 previous = e.heartbeatKey;
        if (heartbeatKey == 0) revert BadEntry();
        if (heartbeatKey == previous) revert NothingNew();
        e.heartbeatKey = heartbeatKey;
        e.heartbeatSince = Time.timestamp();
        emit HeartbeatRotated(provider, heartbeatKey, previous);
    }

    /// @inheritdoc IRegistry
    function retire(address provider) external {
        _entryForCaller(provider);
        delete _entries[provider];
        emit Retired(provider);
    }

    /// @inheritdoc IRegistry
    function entryOf(address provider) external view returns (Entry memory) {
        return _entries[provider];
    }

    /// @inheritdoc IRegistry
    function isListed(address provider) external view returns (bool) {
        Entry storage e = _entries[provider];
        if (e.owner == address(0) || e.owner != book.ownerOf(provider)) return false;
        uint96 weight = book.weightOf(provider);
        return weight != 0 && weight >= _bond(e.offer.slots);
    }

    function _entryForCaller(address provider) private view returns (Entry storage e) {
        address owner = book.ownerOf(provider);
        if (msg.sender != provider && msg.sender != owner) revert NotParty();
        e = _entries[provider];
        if (e.owner == address(0) || e.owner != owner) revert NoEntry();
    }

    function _checkOffer(address provider, Offer calldata offer) private view {
        if (offer.slots == 0 || offer.priceList == 0 || offer.metadata.length > MAX_CID) revert BadEntry();
        uint256 bond = _bond(offer.slots);
        uint96 weight = book.weightOf(provider);
        if (weight == 0 || weight < bond) revert Underbonded(bond);
    }

    function _bond(uint32 slots) private view returns (uint256) {
        return uint256(bondPerSlot) * slots;
    }
}
