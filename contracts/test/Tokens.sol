// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {TestToken} from "../src/TestToken.sol";
import {ILedger} from "../src/interfaces/ILedger.sol";

/// @dev Keeps 1 % of each transfer for itself.
contract FeeToken is TestToken {
    function _update(address from, address to, uint256 value) internal override {
        uint256 fee = from == address(0) ? 0 : value / 100;
        if (fee != 0) super._update(from, address(this), fee);
        super._update(from, to, value - fee);
    }
}

/// @dev Delivers one unit more than was sent.
contract GenerousToken is TestToken {
    function transferFrom(address from, address to, uint256 value) public override returns (bool) {
        _mint(to, 1);
        return super.transferFrom(from, to, value);
    }
}

/// @dev Says no without reverting, as some old tokens do.
contract RefusingToken is TestToken {
    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return false;
    }

    function transfer(address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// @dev Calls its attacker in the middle of each transfer, as tokens with hooks do.
contract HookToken is TestToken {
    Reentrant public attacker;

    function arm(Reentrant attacker_) external {
        attacker = attacker_;
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (address(attacker) != address(0)) attacker.hook();
    }
}

/// @dev Withdraws, or deposits, again while the first time still runs.
contract Reentrant {
    ILedger private immutable _ledger;
    bool private immutable _again;

    constructor(ILedger ledger, HookToken token, bool depositAgain) {
        _ledger = ledger;
        _again = depositAgain;
        token.approve(address(ledger), type(uint256).max);
    }

    function deposit(uint96 amount) external {
        _ledger.deposit(amount);
    }

    function depositWithPermit(uint96 amount) external {
        _ledger.depositWithPermit(amount, 0, 27, 0, 0);
    }

    function withdraw(uint96 amount) external {
        _ledger.withdraw(address(this), amount);
    }

    function hook() external {
        if (_again) _ledger.deposit(1);
        else _ledger.withdraw(address(this), 1);
    }
}
