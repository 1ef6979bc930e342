// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Registry} from "../src/Registry.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {StakeBookBase} from "./StakeBookBase.sol";
import {vm} from "./Vm.sol";

/// @dev As in Gas.t.sol.
/// forge-config: default.isolate = true
contract GasStakeTest is StakeBookBase {
    Registry private registry;

    function setUp() public override {
        super.setUp();
        registry = new Registry(book, MINIMUM);
        register(2 * MINIMUM);
    }

    function snap(string memory contract_, string memory name) private {
        vm.snapshotGasLastCall(contract_, name);
    }

    function test_register() public {
        fund(book, eve, FUNDS);
        vm.prank(eve);
        book.register(eve, MINIMUM, "");
        snap("StakeBook", "register");
        vm.prank(eve);
        book.addStake(eve, MINIMUM);
        snap("StakeBook", "addStake");
    }

    function test_exit() public {
        vm.prank(olivia);
        book.requestExit(kim);
        snap("StakeBook", "requestExit");
        vm.warp(START + EXIT_DELAY);
        vm.prank(olivia);
        book.finishExit(kim);
        snap("StakeBook", "finishExit");
    }

    function test_case() public {
        hold(CASE);
        snap("StakeBook", "hold");
        slash(CASE, MINIMUM, victor, verifiersOf(7));
        snap("StakeBook", "slash with 7 verifiers");
        hold("another");
        vm.prank(court);
        book.release("another", kim);
        snap("StakeBook", "release");
    }

    function test_entry() public {
        IRegistry.Offer memory offer = IRegistry.Offer(2, "price list", new bytes(36));
        vm.prank(olivia);
        registry.announce(kim, victor, "node key", "heartbeat key", offer);
        snap("Registry", "announce");
        offer.priceList = "another";
        vm.prank(kim);
        registry.changeOffer(kim, offer);
        snap("Registry", "changeOffer");
        vm.prank(kim);
        registry.rotateHeartbeat(kim, "next");
        snap("Registry", "rotateHeartbeat");
    }
}
