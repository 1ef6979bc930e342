// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Channels} from "../src/Channels.sol";
import {TestToken} from "../src/TestToken.sol";
import {IChannels, Terms} from "../src/interfaces/IChannels.sol";
import {Base} from "./Base.sol";
import {vm} from "./Vm.sol";

/// @dev Two payers, two payees, a stranger, and all that they may try. What must work is called straight, so
/// that a refusal fails the run; what must not is tried, and counted as a breach if it works.
contract ChannelsHandler {
    uint256 private constant PAYERS = 2;
    uint256 private constant ACTORS = 5;
    uint256 private constant MOST = 12;
    /// @dev Session keys follow the actors' keys, one a channel.
    uint256 private constant FIRST_SESSION = 1000;

    Channels public immutable channels;
    TestToken public immutable token;
    uint256 public totalIn;
    uint256 public totalOut;
    uint256 public breaches;
    Terms[] private _terms;
    mapping(bytes32 id => uint96) public mostSigned;
    mapping(bytes32 id => uint96) public paid;
    mapping(bytes32 id => bool) public closed;
    mapping(bytes32 id => uint96) private _latest;
    uint256 private _now;

    constructor(Channels channels_, TestToken token_, uint256 start) {
        channels = channels_;
        token = token_;
        _now = start;
    }

    function actor(uint256 i) public pure returns (address) {
        return vm.addr(i % ACTORS + 1);
    }

    function actors() external pure returns (address[] memory all) {
        all = new address[](ACTORS);
        for (uint256 i = 0; i < ACTORS; ++i) {
            all[i] = actor(i);
        }
    }

    function count() external view returns (uint256) {
        return _terms.length;
    }

    function idAt(uint256 i) public view returns (bytes32) {
        return channels.channelIdOf(_terms[i]);
    }

    function pass(uint32 time) external {
        _now += time % 3 days;
        vm.warp(_now);
    }

    function deposit(uint256 who, uint96 amount) external {
        amount %= 1e12;
        address account = actor(who);
        token.mint(account, amount);
        vm.prank(account);
        token.approve(address(channels), amount);
        vm.prank(account);
        channels.deposit(amount);
        totalIn += amount;
    }

    function withdraw(uint256 who, uint96 amount) external {
        address account = actor(who);
        amount = uint96(amount % (channels.balanceOf(account) + 1));
        vm.prank(account);
        channels.withdraw(actor(who % ACTORS + 1), amount);
        totalOut += amount;
        _mustFail(
            account, abi.encodeCall(channels.withdraw, (account, uint96(channels.balanceOf(account) + 1)))
        );
    }

    function open(uint256 who, uint96 amount, uint32 window, uint48 life, bool signedOnly) external {
        if (_terms.length == MOST) return;
        who %= PAYERS;
        address payer = actor(who);
        amount = uint96(amount % (channels.balanceOf(payer) + 1));
        window = window % 2 days + 1;
        Terms memory terms = Terms({
            payer: payer,
            payee: actor(PAYERS + _terms.length % 2),
            sessionKey: vm.addr(FIRST_SESSION + _terms.length),
            window: window,
            expiresAt: uint48(_now + window + life % 10 days),
            order: bytes32(0),
            salt: bytes32(_terms.length)
        });
        if (signedOnly) {
            bytes memory signature = _sign(who + 1, channels.openDigest(terms, amount, uint48(_now)));
            channels.openFor(terms, amount, uint48(_now), signature);
        } else {
            vm.prank(payer);
            channels.open(terms, amount);
        }
        _terms.push(terms);
        _mustFail(payer, abi.encodeCall(channels.open, (terms, 0)));
    }

    function topUp(uint256 which, uint96 amount) external {
        (Terms memory terms, bytes32 id, bool live) = _pick(which);
        if (!live || _now >= terms.expiresAt || channels.channel(id).closesAt != 0) return;
        amount = uint96(amount % (channels.balanceOf(terms.payer) + 1));
        vm.prank(terms.payer);
        channels.topUp(terms, amount);
    }

    function signVoucher(uint256 which, uint96 amount) external {
        (, bytes32 id, bool live) = _pick(which);
        if (!live) return;
        uint96 cumulative = amount % (channels.channel(id).deposit + 1);
        _latest[id] = cumulative;
        if (cumulative > mostSigned[id]) mostSigned[id] = cumulative;
    }

    /// @dev A valid voucher always redeems while the channel lives, whoever brings it.
    function redeem(uint256 which, uint256 who, uint96 other) external {
        (Terms memory terms, bytes32 id, bool live) = _pick(which);
        if (_terms.length == 0) return;
        bytes memory call =
            abi.encodeCall(channels.redeem, (terms, _latest[id], _voucher(which, _latest[id])));
        if (!live || _latest[id] <= channels.channel(id).claimed) return _mustFail(actor(who), call);
        // Neither another key, nor other terms, nor another amount.
        bytes memory wrong = _sign(who % ACTORS + 1, channels.voucherDigest(id, _latest[id]));
        _mustFail(actor(who), abi.encodeCall(channels.redeem, (terms, _latest[id], wrong)));
        if (other != _latest[id]) {
            wrong = _voucher(which, _latest[id]);
            _mustFail(actor(who), abi.encodeCall(channels.redeem, (terms, other, wrong)));
        }
        Terms memory swapped = _terms[(which % _terms.length + 1) % _terms.length];
        if (_terms.length > 1) {
            wrong = _voucher(which, _latest[id]);
            _mustFail(actor(who), abi.encodeCall(channels.redeem, (swapped, _latest[id], wrong)));
        }
        swapped = _terms[which % _terms.length];
        swapped.payee = actor(who);
        if (swapped.payee != terms.payee) {
            _mustFail(actor(who), abi.encodeCall(channels.redeem, (swapped, _latest[id], wrong)));
        }
        uint256 before = channels.balanceOf(terms.payee);
        vm.prank(actor(who));
        (bool ok,) = address(channels).call(call);
        require(ok, "a valid voucher was refused");
        paid[id] += uint96(channels.balanceOf(terms.payee) - before);
    }

    function closeByPayee(uint256 which) external {
        (Terms memory terms, bytes32 id, bool live) = _pick(which);
        if (!live) return;
        uint96 amount = channels.channel(id).claimed;
        if (_latest[id] > amount) amount = _latest[id];
        bytes memory call = abi.encodeCall(channels.closeByPayee, (terms, amount, _voucher(which, amount)));
        _mustFail(terms.payer, call);
        _closes(terms, id, terms.payee, call);
    }

    function closeWithConsent(uint256 which, uint96 amount, bool bySession) external {
        (Terms memory terms, bytes32 id, bool live) = _pick(which);
        if (!live) return;
        IChannels.Channel memory c = channels.channel(id);
        amount = c.claimed + amount % (c.deposit - c.claimed + 1);
        bytes memory signature =
            _sign(PAYERS + which % _terms.length % 2 + 1, channels.closeDigest(id, amount));
        bytes memory call = abi.encodeCall(channels.closeWithConsent, (terms, amount, signature));
        _mustFail(terms.payee, call);
        // The payer's side agrees by calling.
        if (amount > mostSigned[id]) mostSigned[id] = amount;
        _closes(terms, id, bySession ? terms.sessionKey : terms.payer, call);
    }

    function startClose(uint256 which) external {
        (Terms memory terms, bytes32 id, bool live) = _pick(which);
        if (!live || channels.channel(id).closesAt != 0) return;
        _mustFail(terms.payee, abi.encodeCall(channels.startClose, (terms)));
        vm.prank(terms.payer);
        channels.startClose(terms);
    }

    /// @dev Never early, and always once it is due.
    function finalize(uint256 which, uint256 who) external {
        (Terms memory terms, bytes32 id, bool live) = _pick(which);
        if (_terms.length == 0) return;
        uint48 noticed = channels.channel(id).closesAt;
        bytes memory call = abi.encodeCall(channels.finalize, (terms));
        bool due = _now >= terms.expiresAt || (noticed != 0 && _now >= noticed);
        if (!live || !due) return _mustFail(actor(who), call);
        _closes(terms, id, actor(who), call);
    }

    function _closes(Terms memory terms, bytes32 id, address by, bytes memory call) private {
        uint256 ofPayee = channels.balanceOf(terms.payee);
        uint256 ofPayer = channels.balanceOf(terms.payer);
        uint96 held = channels.channel(id).deposit - channels.channel(id).claimed;
        vm.prank(by);
        (bool ok,) = address(channels).call(call);
        require(ok, "a rightful close was refused");
        closed[id] = true;
        uint96 toPayee = uint96(channels.balanceOf(terms.payee) - ofPayee);
        paid[id] += toPayee;
        if (channels.balanceOf(terms.payer) - ofPayer + toPayee != held) breaches++;
        // It never opens again, and pays no more.
        _mustFail(terms.payer, abi.encodeCall(channels.open, (terms, 0)));
        _mustFail(by, call);
    }

    function _mustFail(address by, bytes memory call) private {
        vm.prank(by);
        (bool ok,) = address(channels).call(call);
        if (ok) breaches++;
    }

    function _pick(uint256 which) private view returns (Terms memory terms, bytes32 id, bool live) {
        if (_terms.length == 0) return (terms, id, false);
        terms = _terms[which % _terms.length];
        id = channels.channelIdOf(terms);
        live = !closed[id];
    }

    function _voucher(uint256 which, uint96 cumulative) private view returns (bytes memory) {
        which %= _terms.length;
        return _sign(FIRST_SESSION + which, channels.voucherDigest(idAt(which), cumulative));
    }

    function _sign(uint256 key, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }
}

contract ChannelsInvariants is Base {
    Channels private _channels;
    ChannelsHandler private _handler;

    function setUp() public override {
        super.setUp();
        _channels = new Channels(token);
        _handler = new ChannelsHandler(_channels, token, START);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    function invariant_booksBalance() external view {
        uint256 owed = 0;
        address[] memory actors = _handler.actors();
        for (uint256 i = 0; i < actors.length; ++i) {
            owed += _channels.balanceOf(actors[i]);
        }
        for (uint256 i = 0; i < _handler.count(); ++i) {
            IChannels.Channel memory c = _channels.channel(_handler.idAt(i));
            if (c.status == IChannels.Status.Open) owed += c.deposit - c.claimed;
        }
        uint256 held = token.balanceOf(address(_channels));
        eq(held, owed, "tokens, and what is owed");
        eq(held, _handler.totalIn() - _handler.totalOut(), "tokens, and what came in and went out");
    }

    function invariant_noChannelPaysMoreThanWasSignedOrDeposited() external view {
        for (uint256 i = 0; i < _handler.count(); ++i) {
            bytes32 id = _handler.idAt(i);
            IChannels.Channel memory c = _channels.channel(id);
            yes(c.claimed <= c.deposit, "within the deposit");
            yes(c.claimed <= _handler.mostSigned(id), "within what was signed");
            eq(c.claimed, _handler.paid(id), "claimed is what the payee got");
        }
    }

    function invariant_closedOnceAndForGood() external view {
        for (uint256 i = 0; i < _handler.count(); ++i) {
            bytes32 id = _handler.idAt(i);
            bool closed = _channels.channel(id).status == IChannels.Status.Closed;
            yes(closed == _handler.closed(id), "closed by a closing only, and never opened again");
        }
    }

    function invariant_nothingForbiddenWorked() external view {
        eq(_handler.breaches(), 0, "breaches");
    }
}
