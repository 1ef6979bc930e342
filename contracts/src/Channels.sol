// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";
import {IChannels, Terms} from "./interfaces/IChannels.sol";
import {Ledger} from "./Ledger.sol";
import {MAX_WINDOW} from "./Limits.sol";

/// @title Payment channels
/// @notice See IChannels and SPEC.md.
contract Channels is IChannels, Ledger, EIP712 {
    bytes32 private constant VOUCHER_TYPEHASH = keccak256("Voucher(bytes32 channelId,uint96 cumulative)");
    bytes32 private constant CLOSE_TYPEHASH = keccak256("Close(bytes32 channelId,uint96 cumulative)");
    bytes32 private constant TERMS_TYPEHASH = keccak256(
        "Terms(address payer,address payee,address sessionKey,uint32 window,uint48 expiresAt,bytes32 order,bytes32 salt)"
    );
    bytes32 private constant OPEN_TYPEHASH = keccak256(
        "Open(Terms terms,uint96 amount,uint48 deadline)Terms(address payer,address payee,address sessionKey,uint32 window,uint48 expiresAt,bytes32 order,bytes32 salt)"
    );

    mapping(bytes32 channelId => Channel) private _channels;

    constructor(IERC20 token_) Ledger(token_) EIP712("FlowShield Channels", "1") {}

    /// @inheritdoc IChannels
    function open(Terms calldata terms, uint96 amount) external returns (bytes32) {
        if (msg.sender != terms.payer) revert NotParty();
        return _open(terms, amount);
    }

    /// @inheritdoc IChannels
    function openFor(Terms calldata terms, uint96 amount, uint48 deadline, bytes calldata signature)
        external
        returns (bytes32)
    {
        if (block.timestamp > deadline) revert Expired();
        _requireSigner(terms.payer, openDigest(terms, amount, deadline), signature);
        return _open(terms, amount);
    }

    /// @inheritdoc IChannels
    function topUp(Terms calldata terms, uint96 amount) external {
        (bytes32 id, Channel memory c) = _live(terms);
        if (msg.sender != terms.payer) revert NotParty();
        if (c.closesAt != 0) revert IsClosing();
        if (block.timestamp >= terms.expiresAt) revert Expired();
        _debit(terms.payer, amount);
        _channels[id].deposit = c.deposit + amount;
        emit ToppedUp(id, amount);
    }

    /// @inheritdoc IChannels
    function redeem(Terms calldata terms, uint96 cumulative, bytes calldata signature) external {
        (bytes32 id, Channel memory c) = _live(terms);
        _requireSigner(terms.sessionKey, voucherDigest(id, cumulative), signature);
        _pay(id, c, terms.payee, cumulative);
        _channels[id].claimed = cumulative;
    }

    /// @inheritdoc IChannels
    function closeByPayee(Terms calldata terms, uint96 cumulative, bytes calldata signature) external {
        (bytes32 id, Channel memory c) = _live(terms);
        if (msg.sender != terms.payee) revert NotParty();
        if (cumulative != c.claimed) {
            _requireSigner(terms.sessionKey, voucherDigest(id, cumulative), signature);
        }
        _close(id, c, terms, cumulative);
    }

    /// @inheritdoc IChannels
    function closeWithConsent(Terms calldata terms, uint96 cumulative, bytes calldata signature) external {
        (bytes32 id, Channel memory c) = _live(terms);
        _requirePayerSide(terms);
        _requireSigner(terms.payee, closeDigest(id, cumulative), signature);
        _close(id, c, terms, cumulative);
    }

    /// @inheritdoc IChannels
    function startClose(Terms calldata terms) external {
        (bytes32 id, Channel memory c) = _live(terms);
        _requirePayerSide(terms);
        if (c.closesAt != 0) revert IsClosing();
        uint48 closesAt = Time.timestamp() + terms.window;
        _channels[id].closesAt = closesAt;
        emit Closing(id, closesAt);
    }

    /// @inheritdoc IChannels
    function finalize(Terms calldata terms) external {
        (bytes32 id, Channel memory c) = _live(terms);
        uint48 due = terms.expiresAt;
        if (c.closesAt != 0 && c.closesAt < due) due = c.closesAt;
        if (block.timestamp < due) revert TooEarly(due);
        _close(id, c, terms, c.claimed);
    }

    /// @inheritdoc IChannels
    function channel(bytes32 channelId) external view returns (Channel memory) {
        return _channels[channelId];
    }

    /// @inheritdoc IChannels
    function channelIdOf(Terms calldata terms) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), terms));
    }

    /// @inheritdoc IChannels
    function voucherDigest(bytes32 channelId, uint96 cumulative) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(VOUCHER_TYPEHASH, channelId, cumulative)));
    }

    /// @inheritdoc IChannels
    function closeDigest(bytes32 channelId, uint96 cumulative) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(CLOSE_TYPEHASH, channelId, cumulative)));
    }

    /// @inheritdoc IChannels
    function openDigest(Terms calldata terms, uint96 amount, uint48 deadline) public view returns (bytes32) {
        bytes32 termsHash = keccak256(abi.encode(TERMS_TYPEHASH, terms));
        return _hashTypedDataV4(keccak256(abi.encode(OPEN_TYPEHASH, termsHash, amount, deadline)));
    }

    function _open(Terms calldata terms, uint96 amount) private returns (bytes32 id) {
        if (terms.payee == address(0) || terms.sessionKey == address(0)) revert BadTerms();
        if (terms.window == 0 || terms.window > MAX_WINDOW) revert BadTerms();
        if (terms.expiresAt < block.timestamp + terms.window) revert Expired();
        id = channelIdOf(terms);
        if (_channels[id].status != Status.None) revert Exists();
        _debit(terms.payer, amount);
        _channels[id] = Channel(amount, 0, 0, Status.Open);
        emit Opened(id, terms.payer, terms.payee, terms, amount);
    }

    function _close(bytes32 id, Channel memory c, Terms calldata terms, uint96 cumulative) private {
        if (cumulative != c.claimed) _pay(id, c, terms.payee, cumulative);
        uint96 refund = c.deposit - cumulative;
        _credit(terms.payer, refund);
        _channels[id] = Channel(c.deposit, cumulative, c.closesAt, Status.Closed);
        emit Closed(id, cumulative, refund);
    }

    /// @dev The caller must store the claimed amount.
    function _pay(bytes32 id, Channel memory c, address payee, uint96 cumulative) private {
        if (cumulative <= c.claimed) revert NothingNew();
        if (cumulative > c.deposit) revert OverDeposit(c.deposit);
        uint96 paid = cumulative - c.claimed;
        _credit(payee, paid);
        emit Redeemed(id, cumulative, paid);
    }

    function _live(Terms calldata terms) private view returns (bytes32 id, Channel memory c) {
        id = channelIdOf(terms);
        c = _channels[id];
        if (c.status != Status.Open) revert NoChannel();
    }

    function _requirePayerSide(Terms calldata terms) private view {
        if (msg.sender != terms.payer && msg.sender != terms.sessionKey) revert NotParty();
    }
}
