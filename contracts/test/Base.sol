// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TestToken} from "../src/TestToken.sol";
import {ILedger} from "../src/interfaces/ILedger.sol";
import {vm} from "./Vm.sol";

/// @dev What every test needs: assertions, signatures, and accounts with money.
abstract contract Base {
    /// @dev Where forge looks for a test's verdict.
    bool public constant IS_TEST = true;

    uint48 internal constant START = 1_900_000_000;
    TestToken internal token;

    error NotEqual(string what, uint256 left, uint256 right);
    error Untrue(string what);

    function setUp() public virtual {
        vm.warp(START);
        token = new TestToken();
    }

    function eq(uint256 left, uint256 right, string memory what) internal pure {
        if (left != right) revert NotEqual(what, left, right);
    }

    function eq(address left, address right, string memory what) internal pure {
        if (left != right) revert NotEqual(what, uint160(left), uint160(right));
    }

    function eq(bytes32 left, bytes32 right, string memory what) internal pure {
        if (left != right) revert NotEqual(what, uint256(left), uint256(right));
    }

    function yes(bool condition, string memory what) internal pure {
        if (!condition) revert Untrue(what);
    }

    function signed(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function fund(ILedger ledger, address account, uint96 amount) internal {
        token.mint(account, amount);
        vm.prank(account);
        token.approve(address(ledger), amount);
        vm.prank(account);
        ledger.deposit(amount);
    }

    /// @dev Parameters of an expected error are checked, too.
    function refuses(bytes memory reason) internal {
        vm.expectRevert(reason);
    }

    function refuses(bytes4 selector) internal {
        vm.expectRevert(abi.encodePacked(selector));
    }
}
