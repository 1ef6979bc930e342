// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {StakeBook} from "../src/StakeBook.sol";
import {ILedger} from "../src/interfaces/ILedger.sol";
import {IStakeBook} from "../src/interfaces/IStakeBook.sol";
import {StakeBookBase} from "./StakeBookBase.sol";
import {vm} from "./Vm.sol";

contract StakeBookTest is StakeBookBase {
    function asOlivia() private {
        vm.prank(olivia);
    }

    function asCourt() private {
        vm.prank(court);
    }

    // Rules

    function refuseRules(IStakeBook.Rules memory rules) private {
        refuses(IStakeBook.BadRules.selector);
        new StakeBook(token, court, rules);
    }

    function test_rulesAreChecked() public {
        IStakeBook.Rules memory rules = someRules();
        refuses(IStakeBook.BadRules.selector);
        new StakeBook(token, address(0), rules);
        rules.minimumStake = 0;
        refuseRules(rules);
        rules = someRules();
        rules.caseTime = 0;
        refuseRules(rules);
        rules = someRules();
        rules.exitDelay = 7 days + CASE_TIME;
        refuseRules(rules);
        rules.exitDelay += 1;
        rules.capBps = 0;
        refuseRules(rules);
        rules.capBps = 10_001;
        refuseRules(rules);
        rules.capBps = 10_000;
        rules.victimBps = 10_001;
        refuseRules(rules);
        rules.victimBps = 10_000;
        new StakeBook(token, court, rules);
    }

    function test_rulesCanBeRead() public view {
        eq(keccak256(abi.encode(book.rules())), keccak256(abi.encode(someRules())), "rules");
        eq(book.court(), court, "court");
        eq(address(book.token()), address(token), "token");
    }

    function test_theDomainOfSignatures() public view {
        (, string memory name, string memory version, uint256 chain, address verifier,,) = book.eip712Domain();
        eq(keccak256(bytes(name)), keccak256("FlowShield StakeBook"), "name");
        eq(keccak256(bytes(version)), keccak256("1"), "version");
        eq(chain, block.chainid, "chain");
        eq(verifier, address(book), "contract");
    }

    // Registering

    function testFuzz_register(uint96 amount) public {
        amount = MINIMUM + amount % (FUNDS - MINIMUM + 1);
        bytes memory signature = signed(KIM_KEY, book.bindDigest(kim, olivia));
        vm.expectEmit(address(book));
        emit IStakeBook.Registered(kim, olivia, amount);
        asOlivia();
        book.register(kim, amount, signature);
        IStakeBook.Stake memory s = book.stakeOf(kim);
        eq(s.amount, amount, "amount");
        eq(s.since, START, "since");
        eq(s.exitsAt, 0, "exitsAt");
        eq(s.openCases, 0, "openCases");
        eq(book.ownerOf(kim), olivia, "owner");
        eq(book.balanceOf(olivia), FUNDS - amount, "account");
        eq(book.weightOf(kim), amount, "weight");
        eq(book.totalWeight(), amount, "total");
    }

    function test_aKeyAgreesToItsOwner() public {
        bytes memory signature = signed(KIM_KEY, book.bindDigest(kim, olivia));
        fund(book, eve, FUNDS);
        refuses(ILedger.BadSignature.selector);
        vm.prank(eve);
        book.register(kim, MINIMUM, signature);
        refuses(ILedger.BadSignature.selector);
        asOlivia();
        book.register(victor, MINIMUM, signature);
        // Who calls with the key itself needs none.
        vm.prank(eve);
        book.register(eve, MINIMUM, "");
        eq(book.ownerOf(eve), eve, "owner");
    }

    function test_aKeyHasOneStakeOfAtLeastTheMinimumThatTheOwnerHas() public {
        bytes memory signature = signed(KIM_KEY, book.bindDigest(kim, olivia));
        refuses(abi.encodeWithSelector(IStakeBook.BelowMinimum.selector, MINIMUM));
        asOlivia();
        book.register(kim, MINIMUM - 1, signature);
        refuses(abi.encodeWithSelector(ILedger.Insufficient.selector, FUNDS));
        asOlivia();
        book.register(kim, FUNDS + 1, signature);
        register(MINIMUM);
        refuses(IStakeBook.Exists.selector);
        asOlivia();
        book.register(kim, MINIMUM, signature);
    }

    // Adding

    function test_addStakeStartsItsAgeAnew() public {
        register(MINIMUM);
        vm.warp(START + 100);
        eq(book.weightBefore(kim, START + 1), MINIMUM, "older than the seed");
        eq(book.weightBefore(kim, START), 0, "not older than the seed");
        vm.expectEmit(address(book));
        emit IStakeBook.Added(kim, 5);
        asOlivia();
        book.addStake(kim, 5);
        eq(book.stakeOf(kim).amount, MINIMUM + 5, "amount");
        eq(book.stakeOf(kim).since, START + 100, "since");
        eq(book.weightBefore(kim, START + 100), 0, "it grew at the seed");
        eq(book.weightBefore(kim, START + 101), MINIMUM + 5, "weight");
        eq(book.totalWeight(), MINIMUM + 5, "total");
        eq(book.balanceOf(olivia), FUNDS - MINIMUM - 5, "account");
    }

    function test_onlyTheOwnerAdds() public {
        register(MINIMUM);
        refuses(ILedger.NotParty.selector);
        vm.prank(kim);
        book.addStake(kim, 1);
        refuses(ILedger.NotParty.selector);
        asOlivia();
        book.addStake(eve, 1);
        refuses(ILedger.NothingNew.selector);
        asOlivia();
        book.addStake(kim, 0);
        refuses(abi.encodeWithSelector(ILedger.Insufficient.selector, FUNDS - MINIMUM));
        asOlivia();
        book.addStake(kim, FUNDS);
        asOlivia();
        book.requestExit(kim);
        refuses(IStakeBook.IsExiting.selector);
        asOlivia();
        book.addStake(kim, 1);
    }

    function test_aSlashedStakeComesBackAtTheMinimum() public {
        register(MINIMUM);
        hold(CASE);
        uint96 taken = slash(CASE, 10e6, address(0), verifiersOf(0));
        eq(taken, 10e6, "taken");
        eq(book.weightOf(kim), 0, "weight below the minimum");
        eq(book.totalWeight(), 0, "total");
        refuses(abi.encodeWithSelector(IStakeBook.BelowMinimum.selector, MINIMUM));
        asOlivia();
        book.addStake(kim, taken - 1);
        asOlivia();
        book.addStake(kim, taken);
        eq(book.totalWeight(), MINIMUM, "total again");
    }

    // Leaving

    function test_exit() public {
        register(MINIMUM);
        vm.expectEmit(address(book));
        emit IStakeBook.ExitRequested(kim, START + EXIT_DELAY);
        asOlivia();
        book.requestExit(kim);
        eq(book.weightOf(kim), 0, "weight of what is leaving");
        eq(book.totalWeight(), 0, "total");
        eq(book.weightBefore(kim, START + 1), 0, "nor for a later seed");
        vm.warp(START + EXIT_DELAY - 1);
        refuses(abi.encodeWithSelector(ILedger.TooEarly.selector, START + EXIT_DELAY));
        book.finishExit(kim);
        vm.warp(START + EXIT_DELAY);
        vm.expectEmit(address(book));
        emit IStakeBook.Exited(kim, olivia, MINIMUM);
        vm.prank(eve);
        book.finishExit(kim);
        eq(book.balanceOf(olivia), FUNDS, "account");
        eq(book.ownerOf(kim), address(0), "owner");
        eq(book.stakeOf(kim).exitsAt, 0, "nothing is left of it");
        refuses(IStakeBook.NotExiting.selector);
        book.finishExit(kim);
        register(MINIMUM);
        eq(book.totalWeight(), MINIMUM, "it may come back");
    }

    function test_onlyTheOwnerLeavesAndAsksOnce() public {
        register(MINIMUM);
        refuses(IStakeBook.NotExiting.selector);
        book.finishExit(kim);
        refuses(ILedger.NotParty.selector);
        vm.prank(kim);
        book.requestExit(kim);
        asOlivia();
        book.requestExit(kim);
        vm.warp(START + 1);
        refuses(IStakeBook.IsExiting.selector);
        asOlivia();
        book.requestExit(kim);
    }

    function test_nobodyLeavesAnOpenCase() public {
        register(MINIMUM);
        asOlivia();
        book.requestExit(kim);
        vm.warp(START + EXIT_DELAY - 1);
        hold(CASE);
        hold(keccak256("another"));
        vm.warp(START + EXIT_DELAY);
        refuses(IStakeBook.InCase.selector);
        book.finishExit(kim);
        asCourt();
        book.release(CASE, kim);
        refuses(IStakeBook.InCase.selector);
        book.finishExit(kim);
        slash(keccak256("another"), 5e6, address(0), verifiersOf(0));
        book.finishExit(kim);
        eq(book.balanceOf(olivia), FUNDS - 5e6, "account");
    }

    // Cases

    function test_hold() public {
        register(MINIMUM);
        eq(book.heldUntil(CASE, kim), 0, "not held");
        vm.expectEmit(address(book));
        emit IStakeBook.Held(CASE, kim, START + CASE_TIME);
        hold(CASE);
        eq(book.heldUntil(CASE, kim), START + CASE_TIME, "held");
        eq(book.stakeOf(kim).openCases, 1, "open cases");
        eq(book.weightOf(kim), MINIMUM, "an accusation takes no weight");
        refuses(IStakeBook.CaseKnown.selector);
        hold(CASE);
        refuses(IStakeBook.NotStaked.selector);
        asCourt();
        book.hold(CASE, eve);
    }

    function test_onlyTheCourtHasTheseWords() public {
        register(MINIMUM);
        refuses(IStakeBook.NotCourt.selector);
        asOlivia();
        book.hold(CASE, kim);
        hold(CASE);
        refuses(IStakeBook.NotCourt.selector);
        asOlivia();
        book.release(CASE, kim);
        refuses(IStakeBook.NotCourt.selector);
        asOlivia();
        book.slash(CASE, kim, 1, victor, verifiersOf(0));
    }

    function test_aCaseEndsOnce() public {
        register(MINIMUM);
        refuses(IStakeBook.NoCase.selector);
        asCourt();
        book.release(CASE, kim);
        hold(CASE);
        vm.expectEmit(address(book));
        emit IStakeBook.Released(CASE, kim);
        asCourt();
        book.release(CASE, kim);
        eq(book.heldUntil(CASE, kim), 0, "not held");
        eq(book.stakeOf(kim).openCases, 0, "open cases");
        refuses(IStakeBook.NoCase.selector);
        asCourt();
        book.release(CASE, kim);
        refuses(IStakeBook.NoCase.selector);
        slash(CASE, 1, victor, verifiersOf(0));
        refuses(IStakeBook.CaseKnown.selector);
        hold(CASE);
        vm.warp(START + CASE_TIME + 1);
        refuses(IStakeBook.NoCase.selector);
        book.lapse(CASE, kim);
    }

    function test_aCourtThatNeverAnswersLetsGo() public {
        register(MINIMUM);
        hold(CASE);
        vm.warp(START + CASE_TIME);
        refuses(abi.encodeWithSelector(ILedger.TooEarly.selector, START + CASE_TIME + 1));
        book.lapse(CASE, kim);
        vm.warp(START + CASE_TIME + 1);
        refuses(IStakeBook.NoCase.selector);
        slash(CASE, 1, victor, verifiersOf(0));
        vm.expectEmit(address(book));
        emit IStakeBook.Released(CASE, kim);
        vm.prank(eve);
        book.lapse(CASE, kim);
        eq(book.stakeOf(kim).openCases, 0, "open cases");
    }

    function test_aVerdictComesInTime() public {
        register(MINIMUM);
        hold(CASE);
        vm.warp(START + CASE_TIME);
        eq(slash(CASE, 1e6, address(0), verifiersOf(0)), 1e6, "the last second counts");
    }

    // Slashing

    function testFuzz_slashIsCappedAndSplit(uint96 stake, uint96 amount, uint8 n, bool hasVictim) public {
        stake = MINIMUM + stake % (FUNDS - MINIMUM + 1);
        n %= 8;
        register(stake);
        hold(CASE);
        uint96 cap = uint96(uint256(stake) * 3000 / 10_000);
        uint96 expected = amount < cap ? amount : cap;
        uint96 each = n == 0 ? 0 : expected / 2 / n;
        if (each > BOUNTY) each = BOUNTY;
        uint96 bounties = each * n;
        uint96 toVictim = hasVictim ? (expected - bounties) / 2 : 0;
        address victim = hasVictim ? victor : address(0);
        vm.expectEmit(address(book));
        emit IStakeBook.Slashed(
            CASE, kim, expected, victim, bounties, toVictim, expected - bounties - toVictim
        );
        eq(slash(CASE, amount, victim, verifiersOf(n)), expected, "slashed");
        eq(book.stakeOf(kim).amount, stake - expected, "stake");
        eq(book.balanceOf(victor), toVictim, "victim");
        eq(book.balanceOf(address(0)), 0, "nobody");
        for (uint256 i = 0; i < n; ++i) {
            eq(book.balanceOf(verifiersOf(n)[i]), each, "verifier");
        }
        eq(book.burned(), expected - bounties - toVictim, "burned");
        eq(book.stakeOf(kim).openCases, 0, "open cases");
        eq(token.balanceOf(address(book)), FUNDS, "nothing left the book");
    }

    function test_bountiesAreFixed() public {
        register(FUNDS);
        hold(CASE);
        slash(CASE, 100e6, victor, verifiersOf(3));
        eq(book.balanceOf(verifiersOf(3)[2]), BOUNTY, "bounty");
        eq(book.balanceOf(victor), 47e6, "half of the rest");
        eq(book.burned(), 47e6, "the other half");
        vm.prank(victor);
        book.withdraw(victor, 47e6);
        eq(token.balanceOf(victor), 47e6, "fetched");
    }

    function test_burnsAddUp() public {
        register(FUNDS);
        hold(CASE);
        slash(CASE, 10, address(0), verifiersOf(0));
        hold("another");
        slash("another", 5, address(0), verifiersOf(0));
        eq(book.burned(), 15, "burned");
    }

    function test_slashReachesWhatIsLeaving() public {
        register(FUNDS);
        asOlivia();
        book.requestExit(kim);
        vm.warp(START + EXIT_DELAY);
        hold(CASE);
        eq(slash(CASE, FUNDS, victor, verifiersOf(0)), FUNDS * 3 / 10, "the cap");
        eq(book.totalWeight(), 0, "total");
        book.finishExit(kim);
        eq(book.balanceOf(olivia), FUNDS * 7 / 10, "what is left");
    }

    function test_aWholeStakeCanBeTakenWhereTheRulesSaySo() public {
        IStakeBook.Rules memory rules = someRules();
        rules.capBps = 10_000;
        book = new StakeBook(token, court, rules);
        fund(book, olivia, FUNDS);
        register(FUNDS);
        hold(CASE);
        hold("another");
        eq(slash(CASE, FUNDS, address(0), verifiersOf(0)), FUNDS, "all");
        eq(slash("another", FUNDS, address(0), verifiersOf(7)), 0, "of nothing");
        eq(book.ownerOf(kim), olivia, "she may add to it");
    }
}
