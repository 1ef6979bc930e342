// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Channels} from "../src/Channels.sol";
import {IChannels, Terms} from "../src/interfaces/IChannels.sol";
import {Base} from "./Base.sol";
import {vm} from "./Vm.sol";

/// @dev Alice pays Bob; Carol signs for Alice in one session; Eve is anybody else.
abstract contract ChannelsBase is Base {
    uint256 internal constant ALICE_KEY = 0xa11ce;
    uint256 internal constant BOB_KEY = 0xb0b;
    uint256 internal constant CAROL_KEY = 0xca501;
    uint256 internal constant EVE_KEY = 0xe5e;
    address internal alice = vm.addr(ALICE_KEY);
    address internal bob = vm.addr(BOB_KEY);
    address internal carol = vm.addr(CAROL_KEY);
    address internal eve = vm.addr(EVE_KEY);
    uint96 internal constant FUNDS = 1000e6;
    uint96 internal constant DEPOSIT = 100e6;

    Channels internal channels;

    function setUp() public virtual override {
        super.setUp();
        channels = new Channels(token);
        fund(channels, alice, FUNDS);
        token.mint(bob, FUNDS);
    }

    function someTerms() internal view returns (Terms memory) {
        return Terms({
            payer: alice,
            payee: bob,
            sessionKey: carol,
            window: 1 hours,
            expiresAt: START + 30 days,
            order: keccak256("order"),
            salt: keccak256("salt")
        });
    }

    function opened() internal returns (Terms memory terms) {
        terms = someTerms();
        vm.prank(terms.payer);
        channels.open(terms, DEPOSIT);
    }

    function voucher(Terms memory terms, uint96 cumulative) internal view returns (bytes memory) {
        return signed(CAROL_KEY, channels.voucherDigest(channels.channelIdOf(terms), cumulative));
    }

    function consent(Terms memory terms, uint96 cumulative) internal view returns (bytes memory) {
        return signed(BOB_KEY, channels.closeDigest(channels.channelIdOf(terms), cumulative));
    }

    function stateOf(Terms memory terms) internal view returns (IChannels.Channel memory) {
        return channels.channel(channels.channelIdOf(terms));
    }

    function books(uint256 ofAlice, uint256 ofBob, uint256 inChannels) internal view {
        eq(channels.balanceOf(alice), ofAlice, "Alice's account");
        eq(channels.balanceOf(bob), ofBob, "Bob's account");
        eq(token.balanceOf(address(channels)), ofAlice + ofBob + inChannels, "the whole");
    }
}
