// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Channels} from "../src/Channels.sol";
import {TestToken} from "../src/TestToken.sol";
import {ILedger} from "../src/interfaces/ILedger.sol";
import {ChannelsBase} from "./ChannelsBase.sol";
import {FeeToken, GenerousToken, HookToken, Reentrant, RefusingToken} from "./Tokens.sol";
import {vm} from "./Vm.sol";

/// @dev Channels stands for both contracts that are built on the ledger.
contract LedgerTest is ChannelsBase {
    bytes32 private constant PERMIT_TYPEHASH =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");

    function permitOf(uint256 key, uint96 amount) private view returns (uint8 v, bytes32 r, bytes32 s) {
        address owner = vm.addr(key);
        bytes32 content = keccak256(
            abi.encode(PERMIT_TYPEHASH, owner, address(channels), amount, token.nonces(owner), START + 60)
        );
        return vm.sign(key, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), content)));
    }

    function testFuzz_whatGoesInComesOut(uint96 amount, uint96 part) public {
        part = part % (amount / 2 + 1);
        uint256 held = token.balanceOf(address(channels));
        token.mint(eve, amount);
        vm.prank(eve);
        token.approve(address(channels), amount);
        vm.expectEmit(address(channels));
        emit ILedger.Deposited(eve, amount);
        vm.prank(eve);
        channels.deposit(amount);
        eq(channels.balanceOf(eve), amount, "credited");
        vm.expectEmit(address(channels));
        emit ILedger.Withdrawn(eve, carol, part);
        vm.prank(eve);
        channels.withdraw(carol, part);
        eq(channels.balanceOf(eve), amount - part, "debited");
        eq(token.balanceOf(carol), part, "delivered where it was sent");
        eq(token.balanceOf(address(channels)), held + amount - part, "and the contract holds the rest");
    }

    function testFuzz_nobodyWithdrawsMoreThanItHas(uint96 amount) public {
        vm.assume(amount > FUNDS);
        refuses(abi.encodeWithSelector(ILedger.Insufficient.selector, FUNDS));
        vm.prank(alice);
        channels.withdraw(alice, amount);
        refuses(abi.encodeWithSelector(ILedger.Insufficient.selector, 0));
        vm.prank(eve);
        channels.withdraw(eve, 1);
    }

    function test_theWholeMayLeave() public {
        vm.prank(alice);
        channels.withdraw(alice, FUNDS);
        eq(channels.balanceOf(alice), 0, "nothing is left");
    }

    function test_depositWithPermit() public {
        (uint8 v, bytes32 r, bytes32 s) = permitOf(BOB_KEY, 5);
        vm.prank(bob);
        channels.depositWithPermit(5, START + 60, v, r, s);
        eq(channels.balanceOf(bob), 5, "credited");
    }

    function test_aPermitThatSomebodyUsedFirstDoesNotStopTheDeposit() public {
        (uint8 v, bytes32 r, bytes32 s) = permitOf(BOB_KEY, 5);
        vm.prank(eve);
        token.permit(bob, address(channels), 5, START + 60, v, r, s);
        vm.prank(bob);
        channels.depositWithPermit(5, START + 60, v, r, s);
        eq(channels.balanceOf(bob), 5, "credited");
    }

    function test_aPermitOfSomebodyElseIsNoAllowance() public {
        (uint8 v, bytes32 r, bytes32 s) = permitOf(BOB_KEY, 5);
        refuses(
            abi.encodeWithSignature("ERC20InsufficientAllowance(address,uint256,uint256)", channels, 0, 5)
        );
        vm.prank(eve);
        channels.depositWithPermit(5, START + 60, v, r, s);
    }

    function test_tokensThatDeliverLessOrMoreAreRefused() public {
        refuseDeposit(new FeeToken());
        refuseDeposit(new GenerousToken());
    }

    function refuseDeposit(TestToken odd) private {
        Channels other = new Channels(odd);
        odd.mint(eve, 1000);
        vm.prank(eve);
        odd.approve(address(other), 1000);
        refuses(ILedger.UnsupportedToken.selector);
        vm.prank(eve);
        other.deposit(1000);
    }

    function test_aTokenThatSaysNoIsBelieved() public {
        RefusingToken odd = new RefusingToken();
        Channels other = new Channels(odd);
        bytes memory reason = abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, odd);
        refuses(reason);
        other.deposit(0);
        refuses(reason);
        other.withdraw(eve, 0);
    }

    function test_noTokenCallsBack() public {
        for (uint256 i = 0; i < 2; ++i) {
            HookToken hooked = new HookToken();
            Channels other = new Channels(hooked);
            Reentrant attacker = new Reentrant(other, hooked, i == 1);
            hooked.mint(address(attacker), 100);
            attacker.deposit(50);
            hooked.arm(attacker);
            refuses(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            attacker.deposit(10);
            refuses(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            attacker.depositWithPermit(10);
            refuses(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            attacker.withdraw(10);
        }
    }

    function test_theTokenIsOne() public view {
        eq(address(channels.token()), address(token), "token");
        eq(token.decimals(), 6, "decimals");
    }
}
