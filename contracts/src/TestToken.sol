// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title Play money for development chains: anybody can mint any amount
/// @dev It has 6 decimals, like the dollar tokens, so that tests see rounding.
contract TestToken is ERC20, ERC20Permit {
    constructor() ERC20("FlowShield Test Token", "FST") ERC20Permit("FlowShield Test Token") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
