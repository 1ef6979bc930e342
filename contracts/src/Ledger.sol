// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ILedger} from "./interfaces/ILedger.sol";

/// @dev The only code that calls the token. Derived contracts credit and debit accounts.
abstract contract Ledger is ILedger, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @inheritdoc ILedger
    IERC20 public immutable token;

    mapping(address account => uint256) private _balances;

    constructor(IERC20 token_) {
        token = token_;
    }

    /// @inheritdoc ILedger
    function deposit(uint96 amount) external nonReentrant {
        _deposit(amount);
    }

    /// @inheritdoc ILedger
    // slither-disable-next-line reentrancy-benign
    function depositWithPermit(uint96 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        nonReentrant
    {
        try IERC20Permit(address(token)).permit(msg.sender, address(this), amount, deadline, v, r, s) {}
            catch {}
        _deposit(amount);
    }

    /// @inheritdoc ILedger
    function withdraw(address to, uint96 amount) external nonReentrant {
        _debit(msg.sender, amount);
        emit Withdrawn(msg.sender, to, amount);
        token.safeTransfer(to, amount);
    }

    /// @inheritdoc ILedger
    function balanceOf(address account) external view returns (uint256) {
        return _balances[account];
    }

    function _credit(address account, uint256 amount) internal {
        _balances[account] += amount;
    }

    function _debit(address account, uint256 amount) internal {
        uint256 available = _balances[account];
        if (available < amount) revert Insufficient(available);
        unchecked {
            _balances[account] = available - amount;
        }
    }

    /// @dev A valid signature has 65 bytes, a low s, a v of 27 or 28, and this signer.
    function _requireSigner(address signer, bytes32 digest, bytes calldata signature) internal pure {
        // slither-disable-next-line unused-return
        (address recovered, ECDSA.RecoverError failure,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (failure != ECDSA.RecoverError.NoError || recovered != signer) revert BadSignature();
    }

    function _deposit(uint96 amount) private {
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        if (token.balanceOf(address(this)) != before + amount) revert UnsupportedToken();
        _credit(msg.sender, amount);
        emit Deposited(msg.sender, amount);
    }
}
