// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {StakeBook} from "../src/StakeBook.sol";
import {IStakeBook} from "../src/interfaces/IStakeBook.sol";
import {Base} from "./Base.sol";
import {vm} from "./Vm.sol";

/// @dev Olivia owns the stake under Kim's key; the court is an account here, as any contract is to the book.
abstract contract StakeBookBase is Base {
    uint256 internal constant KIM_KEY = 0x4b1;
    address internal olivia = vm.addr(0x011);
    address internal kim = vm.addr(KIM_KEY);
    address internal eve = vm.addr(0xe5e);
    address internal victor = vm.addr(0x71c);
    address internal court = vm.addr(0xc0);
    uint96 internal constant FUNDS = 10_000e6;
    uint96 internal constant MINIMUM = 100e6;
    uint96 internal constant BOUNTY = 2e6;
    uint32 internal constant EXIT_DELAY = 14 days;
    uint32 internal constant CASE_TIME = 6 days;
    bytes32 internal constant CASE = keccak256("case");

    StakeBook internal book;

    function setUp() public virtual override {
        super.setUp();
        book = new StakeBook(token, court, someRules());
        fund(book, olivia, FUNDS);
    }

    function someRules() internal pure returns (IStakeBook.Rules memory) {
        return IStakeBook.Rules(MINIMUM, BOUNTY, EXIT_DELAY, CASE_TIME, 3000, 5000);
    }

    function register(uint96 amount) internal {
        bytes memory signature = signed(KIM_KEY, book.bindDigest(kim, olivia));
        vm.prank(olivia);
        book.register(kim, amount, signature);
    }

    function hold(bytes32 caseId) internal {
        vm.prank(court);
        book.hold(caseId, kim);
    }

    function slash(bytes32 caseId, uint96 amount, address victim, address[] memory verifiers)
        internal
        returns (uint96)
    {
        vm.prank(court);
        return book.slash(caseId, kim, amount, victim, verifiers);
    }

    function verifiersOf(uint256 n) internal pure returns (address[] memory all) {
        all = new address[](n);
        for (uint256 i = 0; i < n; ++i) {
            all[i] = vm.addr(0x7e4 + i);
        }
    }
}
