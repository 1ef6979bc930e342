// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title Accounts in a contract, from which each owner withdraws its own money
/// @notice Only these functions move tokens. All other functions move balances between accounts.
interface ILedger {
    event Deposited(address indexed account, uint96 amount);
    event Withdrawn(address indexed account, address indexed to, uint96 amount);

    /// @notice The account has only `available`, which is less than the amount.
    error Insufficient(uint256 available);
    /// @notice Another amount arrived than was sent: the token takes a fee, or rebases.
    error UnsupportedToken();
    /// @notice The call is too early. It works from `notBefore` on, in seconds since the epoch.
    error TooEarly(uint256 notBefore);
    /// @notice The required account did not make the signature, or its form is not strict.
    error BadSignature();
    /// @notice The caller may not do this.
    error NotParty();
    /// @notice The call would change nothing.
    error NothingNew();

    /// @notice Moves `amount` of the caller's tokens to its account. The caller must allow that before.
    function deposit(uint96 amount) external;

    /// @notice Deposits like `deposit`, with the allowance as a signature (ERC-2612).
    /// @dev If somebody used the signature first, the allowance exists already, and the deposit works.
    function depositWithPermit(uint96 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Pays `amount` of tokens from the caller's account to `to`.
    function withdraw(address to, uint96 amount) external;

    /// @notice The token of this contract, which never changes.
    function token() external view returns (IERC20);

    /// @notice The amount that an account may use or withdraw, in base units.
    function balanceOf(address account) external view returns (uint256);
}
