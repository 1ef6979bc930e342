// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Channels} from "../src/Channels.sol";
import {IChannels, Terms} from "../src/interfaces/IChannels.sol";
import {ILedger} from "../src/interfaces/ILedger.sol";
import {ChannelsBase} from "./ChannelsBase.sol";
import {vm} from "./Vm.sol";

contract ChannelsTest is ChannelsBase {
    uint48 private constant SOON = START + 600;

    // Opening

    function testFuzz_openLocksTheDeposit(uint96 amount) public {
        amount = amount % (FUNDS + 1);
        Terms memory terms = someTerms();
        bytes32 id = channels.channelIdOf(terms);
        vm.expectEmit(address(channels));
        emit IChannels.Opened(id, alice, bob, terms, amount);
        vm.prank(alice);
        eq(channels.open(terms, amount), id, "id");
        IChannels.Channel memory c = channels.channel(id);
        eq(c.deposit, amount, "deposit");
        eq(c.claimed, 0, "claimed");
        eq(c.closesAt, 0, "closesAt");
        yes(c.status == IChannels.Status.Open, "open");
        books(FUNDS - amount, 0, amount);
    }

    function test_aChannelIsNamedByChainContractAndTerms() public {
        Terms memory terms = someTerms();
        bytes32 id = channels.channelIdOf(terms);
        bytes memory words = abi.encodePacked(
            abi.encode(block.chainid, address(channels), terms.payer, terms.payee, terms.sessionKey),
            abi.encode(terms.window, terms.expiresAt, terms.order, terms.salt)
        );
        eq(id, keccak256(words), "nine words");
        yes(new Channels(token).channelIdOf(terms) != id, "another contract");
        vm.chainId(2);
        yes(channels.channelIdOf(terms) != id, "another chain");
    }

    function test_theDomainOfSignatures() public view {
        (, string memory name, string memory version, uint256 chain, address verifier,,) =
            channels.eip712Domain();
        eq(keccak256(bytes(name)), keccak256("FlowShield Channels"), "name");
        eq(keccak256(bytes(version)), keccak256("1"), "version");
        eq(chain, block.chainid, "chain");
        eq(verifier, address(channels), "contract");
    }

    function test_onlyThePayerOpens() public {
        Terms memory terms = someTerms();
        refuses(ILedger.NotParty.selector);
        vm.prank(bob);
        channels.open(terms, 1);
    }

    function test_nobodyOpensWithMoreThanItHas() public {
        refuses(abi.encodeWithSelector(ILedger.Insufficient.selector, FUNDS));
        vm.prank(alice);
        channels.open(someTerms(), FUNDS + 1);
    }

    function refuseOpen(Terms memory terms, bytes4 reason) private {
        refuses(reason);
        vm.prank(alice);
        channels.open(terms, 1);
    }

    function test_termsAreChecked() public {
        Terms memory terms = someTerms();
        terms.payee = address(0);
        refuseOpen(terms, IChannels.BadTerms.selector);
        terms = someTerms();
        terms.sessionKey = address(0);
        refuseOpen(terms, IChannels.BadTerms.selector);
        terms = someTerms();
        terms.window = 0;
        refuseOpen(terms, IChannels.BadTerms.selector);
        terms.window = 7 days + 1;
        refuseOpen(terms, IChannels.BadTerms.selector);
        terms.window = 7 days;
        terms.expiresAt = START + 7 days - 1;
        refuseOpen(terms, IChannels.Expired.selector);
        terms.expiresAt = START + 7 days;
        vm.prank(alice);
        channels.open(terms, 1);
    }

    function test_aChannelOpensOnce() public {
        Terms memory terms = opened();
        refuseOpen(terms, IChannels.Exists.selector);
        vm.prank(bob);
        channels.closeByPayee(terms, 0, "");
        refuseOpen(terms, IChannels.Exists.selector);
        terms.salt = keccak256("another");
        vm.prank(alice);
        channels.open(terms, 1);
    }

    function test_openForBySomebodyElse() public {
        Terms memory terms = someTerms();
        bytes memory signature = signed(ALICE_KEY, channels.openDigest(terms, DEPOSIT, SOON));
        vm.warp(SOON);
        vm.prank(eve);
        eq(channels.openFor(terms, DEPOSIT, SOON, signature), channels.channelIdOf(terms), "id");
        books(FUNDS - DEPOSIT, 0, DEPOSIT);
        refuses(IChannels.Exists.selector);
        channels.openFor(terms, DEPOSIT, SOON, signature);
    }

    function test_openForEndsWithItsDeadline() public {
        Terms memory terms = someTerms();
        bytes memory signature = signed(ALICE_KEY, channels.openDigest(terms, DEPOSIT, SOON));
        vm.warp(SOON + 1);
        refuses(IChannels.Expired.selector);
        channels.openFor(terms, DEPOSIT, SOON, signature);
    }

    function testFuzz_openForIsForWhatWasSigned(uint8 which, uint96 amount, uint48 deadline) public {
        Terms memory terms = someTerms();
        bytes memory signature = signed(ALICE_KEY, channels.openDigest(terms, DEPOSIT, SOON));
        (amount, deadline) = (amount % DEPOSIT, START + deadline % 600);
        if (which % 5 != 0) amount = DEPOSIT;
        if (which % 5 != 1) deadline = SOON;
        if (which % 5 == 2) terms.salt = "another";
        if (which % 5 == 3) terms.payee = eve;
        if (which % 5 == 4) terms.sessionKey = eve;
        refuses(ILedger.BadSignature.selector);
        channels.openFor(terms, amount, deadline, signature);
    }

    // Topping up

    function testFuzz_topUp(uint96 amount) public {
        amount = amount % (FUNDS - DEPOSIT + 1);
        Terms memory terms = opened();
        bytes32 id = channels.channelIdOf(terms);
        vm.expectEmit(address(channels));
        emit IChannels.ToppedUp(id, amount);
        vm.prank(alice);
        channels.topUp(terms, amount);
        eq(stateOf(terms).deposit, DEPOSIT + amount, "deposit");
        books(FUNDS - DEPOSIT - amount, 0, DEPOSIT + amount);
    }

    function test_topUpHasItsTime() public {
        Terms memory terms = someTerms();
        refuses(IChannels.NoChannel.selector);
        vm.prank(alice);
        channels.topUp(terms, 1);
        terms = opened();
        refuses(ILedger.NotParty.selector);
        vm.prank(carol);
        channels.topUp(terms, 1);
        vm.warp(terms.expiresAt - 1);
        vm.prank(alice);
        channels.topUp(terms, 1);
        vm.warp(terms.expiresAt);
        refuses(IChannels.Expired.selector);
        vm.prank(alice);
        channels.topUp(terms, 1);
        vm.prank(alice);
        channels.startClose(terms);
        refuses(IChannels.IsClosing.selector);
        vm.prank(alice);
        channels.topUp(terms, 1);
    }

    // Redeeming

    function testFuzz_redeemPaysTheDifference(uint96 first, uint96 second) public {
        Terms memory terms = opened();
        bytes32 id = channels.channelIdOf(terms);
        first = first % (DEPOSIT - 1) + 1;
        second = first + second % (DEPOSIT - first) + 1;
        bytes memory signature = voucher(terms, first);
        vm.expectEmit(address(channels));
        emit IChannels.Redeemed(id, first, first);
        vm.prank(eve);
        channels.redeem(terms, first, signature);
        books(FUNDS - DEPOSIT, first, DEPOSIT - first);
        signature = voucher(terms, second);
        vm.expectEmit(address(channels));
        emit IChannels.Redeemed(id, second, second - first);
        channels.redeem(terms, second, signature);
        books(FUNDS - DEPOSIT, second, DEPOSIT - second);
        eq(stateOf(terms).claimed, second, "claimed");
    }

    function test_anOldVoucherPaysNothing() public {
        Terms memory terms = opened();
        channels.redeem(terms, 10, voucher(terms, 10));
        bytes memory same = voucher(terms, 10);
        bytes memory older = voucher(terms, 9);
        refuses(ILedger.NothingNew.selector);
        channels.redeem(terms, 10, same);
        refuses(ILedger.NothingNew.selector);
        channels.redeem(terms, 9, older);
    }

    function test_noVoucherPaysMoreThanTheDeposit() public {
        Terms memory terms = opened();
        bytes memory signature = voucher(terms, DEPOSIT + 1);
        refuses(abi.encodeWithSelector(IChannels.OverDeposit.selector, DEPOSIT));
        channels.redeem(terms, DEPOSIT + 1, signature);
        channels.redeem(terms, DEPOSIT, voucher(terms, DEPOSIT));
    }

    function testFuzz_aWrongKeyNeverPays(uint256 key, uint96 amount) public {
        key = key % (2 ** 128) + 1;
        vm.assume(key != CAROL_KEY);
        Terms memory terms = opened();
        amount = amount % DEPOSIT + 1;
        bytes memory signature = signed(key, channels.voucherDigest(channels.channelIdOf(terms), amount));
        refuses(ILedger.BadSignature.selector);
        channels.redeem(terms, amount, signature);
        refuses(ILedger.BadSignature.selector);
        vm.prank(bob);
        channels.closeByPayee(terms, amount, signature);
    }

    function testFuzz_swappedTermsNeverPay(uint8 which, bytes32 word) public {
        Terms memory terms = opened();
        vm.assume(terms.order != ~word && terms.salt != ~word);
        bytes memory signature = voucher(terms, 10);
        if (which % 7 == 0) terms.payer = eve;
        if (which % 7 == 1) terms.payee = eve;
        if (which % 7 == 2) terms.sessionKey = eve;
        if (which % 7 == 3) terms.window += 1;
        if (which % 7 == 4) terms.expiresAt += 1;
        if (which % 7 == 5) terms.order = ~word;
        if (which % 7 == 6) terms.salt = ~word;
        refuses(IChannels.NoChannel.selector);
        channels.redeem(terms, 10, signature);
        if (which % 7 == 0) return;
        // Nor does the voucher of one channel pay in another that is open.
        vm.prank(alice);
        channels.open(terms, DEPOSIT);
        refuses(ILedger.BadSignature.selector);
        channels.redeem(terms, 10, signature);
    }

    function test_aVoucherIsForOneContractAndOneChain() public {
        Terms memory terms = opened();
        bytes32 id = channels.channelIdOf(terms);
        bytes memory elsewhere = signed(CAROL_KEY, new Channels(token).voucherDigest(id, 10));
        refuses(ILedger.BadSignature.selector);
        channels.redeem(terms, 10, elsewhere);
        bytes memory signature = voucher(terms, 10);
        vm.chainId(2);
        refuses(IChannels.NoChannel.selector);
        channels.redeem(terms, 10, signature);
    }

    function test_signaturesAreStrict() public {
        Terms memory terms = opened();
        bytes32 digest = channels.voucherDigest(channels.channelIdOf(terms), 10);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(CAROL_KEY, digest);
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        bytes[5] memory bad;
        bad[0] = abi.encodePacked(r, bytes32(order - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        bad[1] = abi.encodePacked(r, s, v - 27);
        bad[2] = abi.encodePacked(r, bytes32(uint256(s) | (uint256(v - 27) << 255)));
        bad[3] = abi.encodePacked(r, s, v, uint8(0));
        bad[4] = "";
        for (uint256 i = 0; i < bad.length; ++i) {
            refuses(ILedger.BadSignature.selector);
            channels.redeem(terms, 10, bad[i]);
        }
        channels.redeem(terms, 10, abi.encodePacked(r, s, v));
    }

    function test_eachSignatureIsForItsPurpose() public {
        Terms memory terms = someTerms();
        terms.sessionKey = bob;
        vm.prank(alice);
        channels.open(terms, DEPOSIT);
        bytes memory asConsent = consent(terms, 10);
        refuses(ILedger.BadSignature.selector);
        channels.redeem(terms, 10, asConsent);
        bytes memory asVoucher = signed(BOB_KEY, channels.voucherDigest(channels.channelIdOf(terms), 10));
        refuses(ILedger.BadSignature.selector);
        vm.prank(alice);
        channels.closeWithConsent(terms, 10, asVoucher);
    }

    function test_aVoucherRedeemsAsLongAsTheChannelLives() public {
        Terms memory terms = opened();
        vm.prank(alice);
        channels.startClose(terms);
        vm.warp(terms.expiresAt + 365 days);
        channels.redeem(terms, 10, voucher(terms, 10));
        books(FUNDS - DEPOSIT, 10, DEPOSIT - 10);
    }
}
