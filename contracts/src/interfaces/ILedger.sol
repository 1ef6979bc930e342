// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title Money that a contract keeps for accounts, each of which fetches its own
/// @notice All that moves tokens: everything else moves figures between accounts.
interface ILedger {
    event Deposited(address indexed account, uint96 amount);
    event Withdrawn(address indexed account, address indexed to, uint96 amount);

    /// @notice The account has `available`, which is less than what is asked of it.
    error Insufficient(uint256 available);
    /// @notice The token delivered another amount than was sent: it takes a fee, or rebases.
    error UnsupportedToken();
    /// @notice It may not happen before `notBefore`, in seconds since the epoch.
    error TooEarly(uint256 notBefore);
    /// @notice Not the signature of the one who has to agree, or not in its strict form.
    error BadSignature();
    /// @notice The caller has no say in this.
    error NotParty();
    /// @notice It would change nothing.
    error NothingNew();

    /// @notice Moves `amount` from the caller's tokens, which it allowed before, to its account.
    function deposit(uint96 amount) external;

    /// @notice The same with the allowance as a signature (ERC-2612).
    /// @dev If somebody used the signature first, the allowance is there already, and that is enough.
    function depositWithPermit(uint96 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Moves `amount` from the caller's account to the tokens of `to`.
    function withdraw(address to, uint96 amount) external;

    /// @notice The one token, for good.
    function token() external view returns (IERC20);

    /// @notice What an account may use or withdraw, in base units.
    function balanceOf(address account) external view returns (uint256);
}
