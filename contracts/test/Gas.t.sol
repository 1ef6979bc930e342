// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "../src/interfaces/IChannels.sol";
import {ChannelsBase} from "./ChannelsBase.sol";
import {vm} from "./Vm.sol";

/// @dev What a receipt shows for each transaction: every call is one of its own here (isolate), so that the
/// base fee of 21,000 and calldata are in it, and nothing is warm.
/// forge-config: default.isolate = true
contract GasTest is ChannelsBase {
    function setUp() public override {
        super.setUp();
        token.mint(alice, FUNDS);
        vm.prank(alice);
        token.approve(address(channels), type(uint256).max);
    }

    function snap(string memory name) private {
        vm.snapshotGasLastCall("Channels", name);
    }

    function test_deposit() public {
        vm.prank(alice);
        channels.deposit(DEPOSIT);
        snap("deposit");
    }

    function test_withdraw() public {
        token.mint(alice, 1);
        vm.prank(alice);
        channels.withdraw(alice, DEPOSIT);
        snap("withdraw");
    }

    function test_open() public {
        Terms memory terms = someTerms();
        vm.prank(alice);
        channels.open(terms, DEPOSIT);
        snap("open");
    }

    function test_openFor() public {
        Terms memory terms = someTerms();
        bytes memory signature = signed(ALICE_KEY, channels.openDigest(terms, DEPOSIT, START + 600));
        vm.prank(bob);
        channels.openFor(terms, DEPOSIT, START + 600, signature);
        snap("openFor");
    }

    function test_topUp() public {
        Terms memory terms = opened();
        vm.prank(alice);
        channels.topUp(terms, DEPOSIT);
        snap("topUp");
    }

    function test_redeem() public {
        Terms memory terms = opened();
        bytes memory signature = voucher(terms, 12_345_678);
        vm.prank(bob);
        channels.redeem(terms, 12_345_678, signature);
        snap("redeem first");
        signature = voucher(terms, 23_456_789);
        vm.prank(bob);
        channels.redeem(terms, 23_456_789, signature);
        snap("redeem later");
    }

    /// @dev Of a provider that was paid before, and a payer with something left.
    function test_close() public {
        fund(channels, bob, 1);
        Terms memory terms = opened();
        bytes memory signature = voucher(terms, 12_345_678);
        vm.prank(bob);
        channels.closeByPayee(terms, 12_345_678, signature);
        snap("closeByPayee");
    }

    function test_closeWithConsent() public {
        fund(channels, bob, 1);
        Terms memory terms = opened();
        bytes memory signature = consent(terms, 12_345_678);
        vm.prank(alice);
        channels.closeWithConsent(terms, 12_345_678, signature);
        snap("closeWithConsent");
    }

    function test_finalize() public {
        Terms memory terms = opened();
        vm.prank(alice);
        channels.startClose(terms);
        snap("startClose");
        vm.warp(START + 1 hours);
        vm.prank(alice);
        channels.finalize(terms);
        snap("finalize");
    }
}
