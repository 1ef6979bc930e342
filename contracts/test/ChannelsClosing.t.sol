// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Channels} from "../src/Channels.sol";
import {IChannels, Terms} from "../src/interfaces/IChannels.sol";
import {ILedger} from "../src/interfaces/ILedger.sol";
import {ChannelsBase} from "./ChannelsBase.sol";
import {vm} from "./Vm.sol";

contract ChannelsClosingTest is ChannelsBase {
    function testFuzz_closeByPayee(uint96 before, uint96 amount) public {
        Terms memory terms = opened();
        bytes32 id = channels.channelIdOf(terms);
        before = before % (DEPOSIT + 1);
        amount = before + amount % (DEPOSIT - before + 1);
        if (before != 0) channels.redeem(terms, before, voucher(terms, before));
        bytes memory signature = amount == before ? bytes("") : voucher(terms, amount);
        vm.expectEmit(address(channels));
        emit IChannels.Closed(id, amount, DEPOSIT - amount);
        vm.prank(bob);
        channels.closeByPayee(terms, amount, signature);
        books(FUNDS - amount, amount, 0);
        IChannels.Channel memory c = channels.channel(id);
        eq(c.claimed, amount, "what was paid can be read");
        eq(c.deposit, DEPOSIT, "and of how much");
        yes(c.status == IChannels.Status.Closed, "closed");
    }

    function test_onlyThePayeeClosesAlone() public {
        Terms memory terms = opened();
        bytes memory signature = voucher(terms, 10);
        refuses(ILedger.NotParty.selector);
        vm.prank(alice);
        channels.closeByPayee(terms, 10, signature);
    }

    function test_thePayeeClosesForNoLessAndNoMore() public {
        Terms memory terms = opened();
        channels.redeem(terms, 10, voucher(terms, 10));
        bytes memory older = voucher(terms, 9);
        refuses(ILedger.NothingNew.selector);
        vm.prank(bob);
        channels.closeByPayee(terms, 9, older);
        bytes memory over = voucher(terms, DEPOSIT + 1);
        refuses(abi.encodeWithSelector(IChannels.OverDeposit.selector, DEPOSIT));
        vm.prank(bob);
        channels.closeByPayee(terms, DEPOSIT + 1, over);
    }

    function testFuzz_closeWithConsent(uint96 amount, bool bySession) public {
        Terms memory terms = opened();
        amount = amount % (DEPOSIT + 1);
        bytes memory signature = consent(terms, amount);
        vm.prank(bySession ? carol : alice);
        channels.closeWithConsent(terms, amount, signature);
        books(FUNDS - amount, amount, 0);
    }

    function test_consentIsThePayeesToThatAmountForThePayersSide() public {
        Terms memory terms = opened();
        bytes32 id = channels.channelIdOf(terms);
        bytes memory signature = consent(terms, 10);
        refuses(ILedger.NotParty.selector);
        vm.prank(bob);
        channels.closeWithConsent(terms, 10, signature);
        refuses(ILedger.BadSignature.selector);
        vm.prank(alice);
        channels.closeWithConsent(terms, 9, signature);
        bytes memory own = signed(ALICE_KEY, channels.closeDigest(id, 10));
        refuses(ILedger.BadSignature.selector);
        vm.prank(alice);
        channels.closeWithConsent(terms, 10, own);
        channels.redeem(terms, 11, voucher(terms, 11));
        refuses(ILedger.NothingNew.selector);
        vm.prank(alice);
        channels.closeWithConsent(terms, 10, signature);
    }

    function test_noticeGivesThePayeeItsWindow() public {
        Terms memory terms = opened();
        bytes32 id = channels.channelIdOf(terms);
        vm.warp(START + 5);
        vm.expectEmit(address(channels));
        emit IChannels.Closing(id, START + 5 + 1 hours);
        vm.prank(carol);
        channels.startClose(terms);
        eq(stateOf(terms).closesAt, START + 5 + 1 hours, "closesAt");
        refuses(IChannels.IsClosing.selector);
        vm.prank(alice);
        channels.startClose(terms);
        vm.warp(START + 5 + 1 hours - 1);
        refuses(abi.encodeWithSelector(ILedger.TooEarly.selector, START + 5 + 1 hours));
        channels.finalize(terms);
        channels.redeem(terms, 10, voucher(terms, 10));
        eq(stateOf(terms).closesAt, START + 5 + 1 hours, "a voucher does not stop the clock");
        vm.warp(START + 5 + 1 hours);
        vm.prank(eve);
        channels.finalize(terms);
        books(FUNDS - 10, 10, 0);
    }

    function test_onlyThePayersSideGivesNotice() public {
        Terms memory terms = opened();
        refuses(ILedger.NotParty.selector);
        vm.prank(bob);
        channels.startClose(terms);
    }

    function test_withoutNoticeItEndsWhenItExpires() public {
        Terms memory terms = opened();
        vm.warp(terms.expiresAt - 1);
        refuses(abi.encodeWithSelector(ILedger.TooEarly.selector, terms.expiresAt));
        channels.finalize(terms);
        // Late notice does not put the end off.
        vm.prank(alice);
        channels.startClose(terms);
        refuses(abi.encodeWithSelector(ILedger.TooEarly.selector, terms.expiresAt));
        channels.finalize(terms);
        vm.warp(terms.expiresAt);
        channels.finalize(terms);
        books(FUNDS, 0, 0);
    }

    function test_whatIsClosedStaysClosed() public {
        Terms memory terms = opened();
        bytes memory more = voucher(terms, 20);
        bytes memory agreed = consent(terms, 20);
        bytes memory last = voucher(terms, 10);
        vm.prank(bob);
        channels.closeByPayee(terms, 10, last);
        vm.warp(terms.expiresAt);
        bytes4 gone = IChannels.NoChannel.selector;
        refuses(gone);
        channels.redeem(terms, 20, more);
        refuses(gone);
        vm.prank(bob);
        channels.closeByPayee(terms, 20, more);
        refuses(gone);
        vm.prank(alice);
        channels.closeWithConsent(terms, 20, agreed);
        refuses(gone);
        vm.prank(alice);
        channels.startClose(terms);
        refuses(gone);
        channels.finalize(terms);
        refuses(gone);
        vm.prank(alice);
        channels.topUp(terms, 1);
        books(FUNDS - 10, 10, 0);
    }
}
