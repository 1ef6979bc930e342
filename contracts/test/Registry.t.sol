// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Registry} from "../src/Registry.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {StakeBookBase} from "./StakeBookBase.sol";
import {vm} from "./Vm.sol";

contract RegistryTest is StakeBookBase {
    uint96 private constant BOND = 50e6;
    bytes32 private constant NODE = "node key";
    bytes32 private constant BEAT = "heartbeat key";
    address private payout = vm.addr(0x9a7);
    Registry private registry;

    function setUp() public override {
        super.setUp();
        registry = new Registry(book, BOND);
        register(4 * BOND);
    }

    function someOffer() private pure returns (IRegistry.Offer memory) {
        return IRegistry.Offer(4, "price list", hex"015512200000");
    }

    function announce() private {
        vm.prank(olivia);
        registry.announce(kim, payout, NODE, BEAT, someOffer());
    }

    function same(IRegistry.Offer memory left, IRegistry.Offer memory right) private pure {
        eq(keccak256(abi.encode(left)), keccak256(abi.encode(right)), "offer");
    }

    function test_announce() public {
        yes(!registry.isListed(kim), "not yet");
        vm.expectEmit(address(registry));
        emit IRegistry.Announced(kim, IRegistry.Entry(olivia, payout, START, NODE, BEAT, someOffer()));
        announce();
        IRegistry.Entry memory e = registry.entryOf(kim);
        eq(e.owner, olivia, "owner");
        eq(e.payout, payout, "payout");
        eq(e.heartbeatSince, START, "since");
        eq(e.nodeKey, NODE, "node key");
        eq(e.heartbeatKey, BEAT, "heartbeat key");
        same(e.offer, someOffer());
        yes(registry.isListed(kim), "listed");
        eq(registry.bondPerSlot(), BOND, "bond");
        eq(address(registry.book()), address(book), "book");
    }

    function refuseEntry(address to, bytes32 node, bytes32 beat, IRegistry.Offer memory offer) private {
        refuses(IRegistry.BadEntry.selector);
        vm.prank(olivia);
        registry.announce(kim, to, node, beat, offer);
    }

    function test_entriesAreChecked() public {
        IRegistry.Offer memory offer = someOffer();
        refuseEntry(address(0), NODE, BEAT, offer);
        refuseEntry(payout, 0, BEAT, offer);
        refuseEntry(payout, NODE, 0, offer);
        offer.slots = 0;
        refuseEntry(payout, NODE, BEAT, offer);
        offer = someOffer();
        offer.priceList = 0;
        refuseEntry(payout, NODE, BEAT, offer);
        offer = someOffer();
        offer.metadata = new bytes(73);
        refuseEntry(payout, NODE, BEAT, offer);
        offer.metadata = new bytes(72);
        vm.prank(olivia);
        registry.announce(kim, payout, NODE, BEAT, offer);
    }

    function test_onlyTheOwnerNamesMoneyAndNode() public {
        refuses(IRegistry.NotParty.selector);
        vm.prank(kim);
        registry.announce(kim, payout, NODE, BEAT, someOffer());
        refuses(IRegistry.NotParty.selector);
        vm.prank(olivia);
        registry.announce(eve, payout, NODE, BEAT, someOffer());
    }

    function test_slotsNeedTheirBond() public {
        IRegistry.Offer memory offer = someOffer();
        offer.slots = 5;
        bytes memory reason = abi.encodeWithSelector(IRegistry.Underbonded.selector, 5 * BOND);
        refuses(reason);
        vm.prank(olivia);
        registry.announce(kim, payout, NODE, BEAT, offer);
        announce();
        refuses(reason);
        vm.prank(kim);
        registry.changeOffer(kim, offer);
        offer.slots = type(uint32).max;
        refuses(abi.encodeWithSelector(IRegistry.Underbonded.selector, uint256(type(uint32).max) * BOND));
        vm.prank(kim);
        registry.changeOffer(kim, offer);
        vm.prank(olivia);
        book.requestExit(kim);
        offer.slots = 1;
        refuses(abi.encodeWithSelector(IRegistry.Underbonded.selector, BOND));
        vm.prank(kim);
        registry.changeOffer(kim, offer);
    }

    function test_changeOffer() public {
        announce();
        IRegistry.Offer memory offer = IRegistry.Offer(3, "another list", "");
        vm.expectEmit(address(registry));
        emit IRegistry.Offered(kim, offer);
        vm.prank(kim);
        registry.changeOffer(kim, offer);
        same(registry.entryOf(kim).offer, offer);
        vm.prank(olivia);
        registry.changeOffer(kim, someOffer());
        same(registry.entryOf(kim).offer, someOffer());
        offer.slots = 0;
        refuses(IRegistry.BadEntry.selector);
        vm.prank(kim);
        registry.changeOffer(kim, offer);
        refuses(IRegistry.NotParty.selector);
        vm.prank(eve);
        registry.changeOffer(kim, someOffer());
    }

    function test_rotateHeartbeat() public {
        announce();
        vm.warp(START + 9);
        vm.expectEmit(address(registry));
        emit IRegistry.HeartbeatRotated(kim, "next", BEAT);
        vm.prank(kim);
        registry.rotateHeartbeat(kim, "next");
        eq(registry.entryOf(kim).heartbeatKey, "next", "key");
        eq(registry.entryOf(kim).heartbeatSince, START + 9, "since");
        refuses(IRegistry.NothingNew.selector);
        vm.prank(kim);
        registry.rotateHeartbeat(kim, "next");
        refuses(IRegistry.BadEntry.selector);
        vm.prank(kim);
        registry.rotateHeartbeat(kim, 0);
        refuses(IRegistry.NotParty.selector);
        vm.prank(eve);
        registry.rotateHeartbeat(kim, "hers");
        vm.warp(START + 20);
        vm.prank(olivia);
        registry.announce(kim, payout, NODE, "next", someOffer());
        eq(registry.entryOf(kim).heartbeatSince, START + 9, "the same key is as old as before");
        announce();
        eq(registry.entryOf(kim).heartbeatSince, START + 20, "another is young");
    }

    function test_retire() public {
        announce();
        refuses(IRegistry.NotParty.selector);
        vm.prank(eve);
        registry.retire(kim);
        vm.expectEmit(address(registry));
        emit IRegistry.Retired(kim);
        vm.prank(kim);
        registry.retire(kim);
        yes(!registry.isListed(kim), "not listed");
        eq(registry.entryOf(kim).payout, address(0), "nothing is left");
        eq(book.weightOf(kim), 4 * BOND, "the stake stays");
        refuses(IRegistry.NoEntry.selector);
        vm.prank(kim);
        registry.retire(kim);
        refuses(IRegistry.NoEntry.selector);
        vm.prank(kim);
        registry.rotateHeartbeat(kim, "next");
        announce();
        yes(registry.isListed(kim), "it may come back");
    }

    function test_whoHasNeitherStakeNorEntryHasNothingToChange() public {
        refuses(IRegistry.NoEntry.selector);
        vm.prank(eve);
        registry.retire(eve);
        yes(!registry.isListed(eve), "not listed");
    }

    function test_aSlashMayEndTheListing() public {
        announce();
        hold(CASE);
        slash(CASE, 1, address(0), verifiersOf(0));
        yes(!registry.isListed(kim), "a bond too little");
        IRegistry.Offer memory offer = someOffer();
        offer.slots = 3;
        vm.prank(kim);
        registry.changeOffer(kim, offer);
        yes(registry.isListed(kim), "with fewer slots");
    }

    function test_unbondingEndsTheListingAndAnotherOwnerStartsAnew() public {
        announce();
        vm.prank(olivia);
        book.requestExit(kim);
        yes(!registry.isListed(kim), "unbonding");
        vm.warp(START + EXIT_DELAY);
        book.finishExit(kim);
        yes(!registry.isListed(kim), "gone");
        refuses(IRegistry.NoEntry.selector);
        vm.prank(kim);
        registry.retire(kim);
        fund(book, kim, FUNDS);
        vm.prank(kim);
        book.register(kim, 4 * BOND, "");
        yes(!registry.isListed(kim), "the entry was another owner's");
        refuses(IRegistry.NoEntry.selector);
        vm.prank(kim);
        registry.changeOffer(kim, someOffer());
    }

    function test_withoutABondTheStakeStillHasToCount() public {
        registry = new Registry(book, 0);
        announce();
        yes(registry.isListed(kim), "listed");
        vm.prank(olivia);
        book.requestExit(kim);
        yes(!registry.isListed(kim), "unbonding");
        refuses(abi.encodeWithSelector(IRegistry.Underbonded.selector, 0));
        vm.prank(kim);
        registry.changeOffer(kim, someOffer());
    }
}
