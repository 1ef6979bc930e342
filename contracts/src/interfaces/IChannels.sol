// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILedger} from "./ILedger.sol";

/// @notice The terms of a channel. They never change. Their hash names the channel, and each call carries
/// them in its calldata.
struct Terms {
    /// @dev The account that pays the deposit and gets back the rest.
    address payer;
    /// @dev The account that is paid.
    address payee;
    /// @dev A key of the payer that signs only the vouchers of this channel.
    address sessionKey;
    /// @dev The close window: seconds from the request to close until the end; at most MAX_WINDOW.
    uint32 window;
    /// @dev From this time on, in seconds since the epoch, the rest may return without a request to close.
    uint48 expiresAt;
    /// @dev Digest of the order that both sides agreed on.
    bytes32 order;
    /// @dev Distinguishes two channels of one order.
    bytes32 salt;
}

/// @title One-way payment channels with cumulative vouchers
/// @notice A payer locks a deposit for a payee. Off the chain, the payer signs vouchers for the total that it
/// owes. The payee redeems the latest voucher at any time. There is no administrator.
interface IChannels is ILedger {
    enum Status {
        None,
        Open,
        Closed
    }

    /// @dev One storage slot. The claimed amount of a closed channel can still be read.
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

    /// @notice A channel with these terms was opened before. A closed channel never opens again.
    error Exists();
    /// @notice No channel with these terms is open.
    error NoChannel();
    /// @notice The amount exceeds the channel's deposit, which is `deposit`.
    error OverDeposit(uint256 deposit);
    /// @notice The payee or the session key is missing, or the window is 0 or more than MAX_WINDOW.
    error BadTerms();
    /// @notice A request to close was made before.
    error IsClosing();
    /// @notice The time for this has passed, or would leave the payee less than the close window.
    error Expired();

    /// @notice Opens a channel with `amount` from the account of the caller, who must be the payer.
    function open(Terms calldata terms, uint96 amount) external returns (bytes32 channelId);

    /// @notice Opens a channel with the payer's signature of `Open`. Anybody may call it.
    function openFor(Terms calldata terms, uint96 amount, uint48 deadline, bytes calldata signature)
        external
        returns (bytes32 channelId);

    /// @notice The payer adds `amount` from its account to an open channel without a request to close.
    function topUp(Terms calldata terms, uint96 amount) external;

    /// @notice Pays the payee up to `cumulative`, with the session key's signature of `Voucher`. Anybody may
    /// call it.
    function redeem(Terms calldata terms, uint96 cumulative, bytes calldata signature) external;

    /// @notice The payee claims the total that it is owed, and closes the channel.
    /// @param signature As for `redeem`. It is ignored if `cumulative` was claimed before.
    function closeByPayee(Terms calldata terms, uint96 cumulative, bytes calldata signature) external;

    /// @notice The payer or its session key closes the channel at once, with the payee's signature of `Close`.
    function closeWithConsent(Terms calldata terms, uint96 cumulative, bytes calldata signature) external;

    /// @notice The payer or its session key requests to close. The payee can redeem during the close window.
    function startClose(Terms calldata terms) external;

    /// @notice Returns the rest after the close window, or after the channel expired. Anybody may call it.
    function finalize(Terms calldata terms) external;

    function channel(bytes32 channelId) external view returns (Channel memory);

    function channelIdOf(Terms calldata terms) external view returns (bytes32);

    /// @notice The digest that a session key signs.
    function voucherDigest(bytes32 channelId, uint96 cumulative) external view returns (bytes32);

    /// @notice The digest that a payee signs to let the other side close.
    function closeDigest(bytes32 channelId, uint96 cumulative) external view returns (bytes32);

    /// @notice The digest that a payer signs to let somebody else open a channel.
    function openDigest(Terms calldata terms, uint96 amount, uint48 deadline) external view returns (bytes32);
}
