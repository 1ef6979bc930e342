// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {StakeBook} from "../src/StakeBook.sol";
import {TestToken} from "../src/TestToken.sol";
import {IStakeBook} from "../src/interfaces/IStakeBook.sol";
import {StakeBookBase} from "./StakeBookBase.sol";
import {vm} from "./Vm.sol";

/// @dev Owners, keys, a court and time, in any order. What must work is called straight; what must not is
/// tried, and counted as a breach if it works.
contract StakeBookHandler {
    uint256 private constant KEYS = 4;
    uint256 private constant OWNERS = 2;
    uint256 private constant OWNER_KEY = 500;

    StakeBook public immutable book;
    TestToken public immutable token;
    address public immutable court;
    uint256 public totalIn;
    uint256 public totalOut;
    uint256 public breaches;
    uint256 private _now;
    uint256 private _cases;

    struct Case {
        bytes32 id;
        address key;
        uint48 until;
        bool over;
    }

    Case[] private _held;
    mapping(address key => uint256) private _openCases;
    mapping(address key => uint48) private _exitsAt;

    constructor(StakeBook book_, TestToken token_, address court_, uint256 start) {
        book = book_;
        token = token_;
        court = court_;
        _now = start;
    }

    function keyAt(uint256 i) public pure returns (address) {
        return vm.addr(i % KEYS + 1);
    }

    function keys() external pure returns (uint256) {
        return KEYS;
    }

    function ownerAt(uint256 i) public pure returns (address) {
        return vm.addr(i % OWNERS + OWNER_KEY);
    }

    /// @dev Everybody who may have something on an account.
    function accounts() external pure returns (address[] memory all) {
        all = new address[](OWNERS + KEYS + 1);
        for (uint256 i = 0; i < OWNERS; ++i) {
            all[i] = ownerAt(i);
        }
        for (uint256 i = 0; i < KEYS; ++i) {
            all[OWNERS + i] = keyAt(i);
        }
    }

    function pass(uint32 time) external {
        _now += time % 4 days;
        vm.warp(_now);
    }

    function deposit(uint256 who, uint96 amount) external {
        amount %= 1e12;
        address account = ownerAt(who);
        token.mint(account, amount);
        vm.prank(account);
        token.approve(address(book), amount);
        vm.prank(account);
        book.deposit(amount);
        totalIn += amount;
    }

    function withdraw(uint256 who, uint96 amount) external {
        address account = ownerAt(who);
        amount = uint96(amount % (book.balanceOf(account) + 1));
        vm.prank(account);
        book.withdraw(account, amount);
        totalOut += amount;
    }

    function register(uint256 which, uint256 who, uint96 amount) external {
        address key = keyAt(which);
        address owner = ownerAt(who);
        uint256 has = book.balanceOf(owner);
        uint96 minimum = book.rules().minimumStake;
        if (book.ownerOf(key) != address(0) || has < minimum) return;
        amount = minimum + uint96(amount % (has - minimum + 1));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(which % KEYS + 1, book.bindDigest(key, owner));
        _mustFail(
            ownerAt(who % OWNERS + 1), abi.encodeCall(book.register, (key, amount, abi.encodePacked(r, s, v)))
        );
        vm.prank(owner);
        book.register(key, amount, abi.encodePacked(r, s, v));
    }

    function addStake(uint256 which, uint96 amount) external {
        address key = keyAt(which);
        address owner = book.ownerOf(key);
        if (owner == address(0) || _exitsAt[key] != 0) return;
        uint96 lacks = book.rules().minimumStake;
        uint96 staked = book.stakeOf(key).amount;
        lacks = staked < lacks ? lacks - staked : 1;
        uint256 has = book.balanceOf(owner);
        if (has < lacks) return;
        vm.prank(owner);
        book.addStake(key, lacks + uint96(amount % (has - lacks + 1)));
    }

    function requestExit(uint256 which) external {
        address key = keyAt(which);
        address owner = book.ownerOf(key);
        if (owner == address(0) || _exitsAt[key] != 0) return;
        _mustFail(key, abi.encodeCall(book.requestExit, (key)));
        vm.prank(owner);
        book.requestExit(key);
        _exitsAt[key] = uint48(_now) + book.rules().exitDelay;
    }

    /// @dev Never before the delay or out of an open case, and always after.
    function finishExit(uint256 which) external {
        address key = keyAt(which);
        bytes memory call = abi.encodeCall(book.finishExit, (key));
        if (_exitsAt[key] == 0 || _now < _exitsAt[key] || _openCases[key] != 0) {
            return _mustFail(book.ownerOf(key), call);
        }
        address owner = book.ownerOf(key);
        uint256 expected = book.balanceOf(owner) + book.stakeOf(key).amount;
        book.finishExit(key);
        if (book.balanceOf(owner) != expected) breaches++;
        _exitsAt[key] = 0;
        _mustFail(owner, call);
    }

    function hold(uint256 which) external {
        address key = keyAt(which);
        bytes32 id = bytes32(++_cases);
        bytes memory call = abi.encodeCall(book.hold, (id, key));
        _mustFail(keyAt(which % KEYS + 1), call);
        if (book.ownerOf(key) == address(0)) return _mustFail(court, call);
        vm.prank(court);
        book.hold(id, key);
        _openCases[key]++;
        _held.push(Case(id, key, uint48(_now) + book.rules().caseTime, false));
        _mustFail(court, call);
    }

    function release(uint256 which) external {
        if (_held.length == 0) return;
        Case storage c = _held[which % _held.length];
        bytes memory call = abi.encodeCall(book.release, (c.id, c.key));
        if (c.over) return _mustFail(court, call);
        _mustFail(book.ownerOf(c.key), call);
        vm.prank(court);
        book.release(c.id, c.key);
        _over(c);
    }

    function lapse(uint256 which) external {
        if (_held.length == 0) return;
        Case storage c = _held[which % _held.length];
        bytes memory call = abi.encodeCall(book.lapse, (c.id, c.key));
        if (c.over || _now <= c.until) return _mustFail(court, call);
        book.lapse(c.id, c.key);
        _over(c);
    }

    /// @dev One verdict a case, in time, by the court, and never above the cap.
    function slash(uint256 which, uint96 amount, bool hasVictim, uint8 n) external {
        if (_held.length == 0) return;
        Case storage c = _held[which % _held.length];
        address[] memory verifiers = new address[](n % 4);
        for (uint256 i = 0; i < verifiers.length; ++i) {
            verifiers[i] = keyAt(i);
        }
        address victim = hasVictim ? ownerAt(which) : address(0);
        bytes memory call = abi.encodeCall(book.slash, (c.id, c.key, amount, victim, verifiers));
        if (c.over || _now > c.until) return _mustFail(court, call);
        _mustFail(book.ownerOf(c.key), call);
        uint256 staked = book.stakeOf(c.key).amount;
        vm.prank(court);
        uint96 taken = book.slash(c.id, c.key, amount, victim, verifiers);
        if (taken > staked * book.rules().capBps / 10_000 || taken > amount) breaches++;
        if (staked - book.stakeOf(c.key).amount != taken) breaches++;
        _over(c);
        _mustFail(court, call);
    }

    function _over(Case storage c) private {
        c.over = true;
        _openCases[c.key]--;
    }

    function _mustFail(address by, bytes memory call) private {
        vm.prank(by);
        (bool ok,) = address(book).call(call);
        if (ok) breaches++;
    }
}

contract StakeBookInvariants is StakeBookBase {
    StakeBookHandler private _handler;

    function setUp() public override {
        super.setUp();
        book = new StakeBook(token, court, someRules());
        _handler = new StakeBookHandler(book, token, court, START);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    function invariant_stakeIsConserved() external view {
        uint256 owed = book.burned();
        for (uint256 i = 0; i < _handler.keys(); ++i) {
            owed += book.stakeOf(_handler.keyAt(i)).amount;
        }
        address[] memory accounts = _handler.accounts();
        for (uint256 i = 0; i < accounts.length; ++i) {
            owed += book.balanceOf(accounts[i]);
        }
        uint256 held = token.balanceOf(address(book));
        eq(held, owed, "tokens, and what is owed, staked or burned");
        eq(held, _handler.totalIn() - _handler.totalOut(), "tokens, and what came in and went out");
    }

    function invariant_theTotalIsTheSumOfTheWeights() external view {
        uint256 sum = 0;
        for (uint256 i = 0; i < _handler.keys(); ++i) {
            IStakeBook.Stake memory s = book.stakeOf(_handler.keyAt(i));
            uint96 weight = book.weightOf(_handler.keyAt(i));
            eq(weight, s.exitsAt == 0 && s.amount >= MINIMUM ? s.amount : 0, "weight");
            sum += weight;
        }
        eq(book.totalWeight(), sum, "total");
    }

    function invariant_nothingForbiddenWorked() external view {
        eq(_handler.breaches(), 0, "breaches");
    }
}
