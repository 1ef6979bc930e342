// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {ILedger} from "./ILedger.sol";

/// @notice What a channel is for. It never changes, is named by its hash, and travels in calldata.
struct Terms {
    /// @dev Whose account the deposit comes from, and where the rest returns.
    address payer;
    /// @dev Whose account is paid.
    address payee;
    /// @dev A key of the payer's that signs the vouchers of this channel, and nothing else.
    address sessionKey;
    /// @dev Seconds between the notice of closing and the end; at most MAX_WINDOW.
    uint32 window;
    /// @dev From here on (seconds since the epoch) the rest may return without notice.
    uint48 expiresAt;
    /// @dev Digest of the order that both sides agreed on.
    bytes32 order;
    /// @dev Makes two channels of one order different.
    bytes32 salt;
}

/// @title Payment channels, one way, with cumulative vouchers
/// @notice A payer locks a deposit for a payee and signs, off the chain, how much of it is owed in total.
/// The payee turns the latest such voucher into money whenever it likes. There is no administrator.
interface IChannels is ILedger {
    enum Status {
        None,
        Open,
        Closed
    }

    /// @dev One slot. What was claimed of a closed channel can still be read.
    struct Channel {
        uint96 deposit;
        uint96 claimed;
        uint48 closesAt;
        Status status;
    }

    event Opened(
        bytes32 indexed channelId, address indexed payer, address indexed payee, Terms terms, uint96 amount
    );
    event ToppedUp(bytes32 indexed channelId, uint96 amount);
    event Redeemed(bytes32 indexed channelId, uint96 cumulative, uint96 paid);
    event Closing(bytes32 indexed channelId, uint48 closesAt);
    event Closed(bytes32 indexed channelId, uint96 claimed, uint96 refunded);

    /// @notice A channel of these terms was opened before. It may be closed: it never opens again.
    error Exists();
    /// @notice No channel of these terms is open.
    error NoChannel();
    /// @notice More than the channel's deposit, which is `deposit`.
    error OverDeposit(uint256 deposit);
    /// @notice No payee or session key, or a window of nothing or of more than MAX_WINDOW.
    error BadTerms();
    /// @notice The notice was given.
    error IsClosing();
    /// @notice The time for this has passed, or leaves the payee less than its window.
    error Expired();

    /// @notice Opens a channel with `amount` of the caller's account, who has to be the payer.
    function open(Terms calldata terms, uint96 amount) external returns (bytes32 channelId);

    /// @notice The same by anybody, with the payer's signature of `Open`.
    function openFor(Terms calldata terms, uint96 amount, uint48 deadline, bytes calldata signature)
        external
        returns (bytes32 channelId);

    /// @notice The payer adds `amount` of its account to an open channel of which no notice was given.
    function topUp(Terms calldata terms, uint96 amount) external;

    /// @notice Pays the payee up to `cumulative`, with the session key's signature of `Voucher`. By anybody.
    function redeem(Terms calldata terms, uint96 cumulative, bytes calldata signature) external;

    /// @notice The payee takes what is owed and closes.
    /// @param signature As for `redeem`; not looked at where `cumulative` was claimed before.
    function closeByPayee(Terms calldata terms, uint96 cumulative, bytes calldata signature) external;

    /// @notice The payer or its session key closes at once, with the payee's signature of `Close`.
    function closeWithConsent(Terms calldata terms, uint96 cumulative, bytes calldata signature) external;

    /// @notice The payer or its session key gives notice: the payee has its window left to redeem.
    function startClose(Terms calldata terms) external;

    /// @notice Returns the rest, once the notice has run out or the channel expired. By anybody.
    function finalize(Terms calldata terms) external;

    function channel(bytes32 channelId) external view returns (Channel memory);

    function channelIdOf(Terms calldata terms) external view returns (bytes32);

    /// @notice What a session key signs.
    function voucherDigest(bytes32 channelId, uint96 cumulative) external view returns (bytes32);

    /// @notice What a payee signs to let the other side close.
    function closeDigest(bytes32 channelId, uint96 cumulative) external view returns (bytes32);

    /// @notice What a payer signs to let somebody else open.
    function openDigest(Terms calldata terms, uint96 amount, uint48 deadline) external view returns (bytes32);
}
