// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Time} from "@openzeppelin/contracts/utils/types/Time.sol";
import {IStakeBook} from "./interfaces/IStakeBook.sol";
import {Ledger} from "./Ledger.sol";
import {MAX_WINDOW} from "./Limits.sol";

/// @title Stake that a court can reach
/// @notice See IStakeBook and SPEC.md.
contract StakeBook is IStakeBook, Ledger, EIP712 {
    using SafeCast for uint256;

    bytes32 private constant BIND_TYPEHASH = keccak256("Bind(address key,address owner)");
    uint256 private constant BPS = 10_000;
    /// @dev The value of `_until` for a case that is over.
    uint48 private constant OVER = type(uint48).max;

    /// @inheritdoc IStakeBook
    address public immutable court;
    uint96 private immutable _minimumStake;
    uint96 private immutable _bounty;
    uint32 private immutable _exitDelay;
    uint32 private immutable _caseTime;
    uint16 private immutable _capBps;
    uint16 private immutable _victimBps;

    mapping(address key => Stake) private _stakes;
    mapping(address key => address) private _owners;
    mapping(bytes32 caseId => mapping(address key => uint48)) private _until;
    /// @inheritdoc IStakeBook
    uint256 public totalWeight;
    /// @inheritdoc IStakeBook
    uint256 public burned;

    modifier onlyCourt() {
        if (msg.sender != court) revert NotCourt();
        _;
    }

    constructor(IERC20 token_, address court_, Rules memory rules_)
        Ledger(token_)
        EIP712("FlowShield StakeBook", "1")
    {
        if (court_ == address(0) || rules_.minimumStake == 0 || rules_.caseTime == 0) {
            revert BadRules();
        }
        if (rules_.exitDelay <= uint256(MAX_WINDOW) + rules_.caseTime) revert BadRules();
        if (rules_.capBps == 0 || rules_.capBps > BPS || rules_.victimBps > BPS) revert BadRules();
        court = court_;
        _minimumStake = rules_.minimumStake;
        _bounty = rules_.bounty;
        _exitDelay = rules_.exitDelay;
        _caseTime = rules_.caseTime;
        _capBps = rules_.capBps;
        _victimBps = rules_.victimBps;
    }

    /// @inheritdoc IStakeBook
    function register(address key, uint96 amount, bytes calldata signature) external {
        if (_owners[key] != address(0)) revert Exists();
        if (amount < _minimumStake) revert BelowMinimum(_minimumStake);
        if (msg.sender != key) _requireSigner(key, bindDigest(key, msg.sender), signature);
        _debit(msg.sender, amount);
        _owners[key] = msg.sender;
        _store(key, 0, Stake(amount, Time.timestamp(), 0, 0));
        emit Registered(key, msg.sender, amount);
    }

    /// @inheritdoc IStakeBook
    function addStake(address key, uint96 amount) external {
        Stake memory s = _owned(key);
        if (s.exitsAt != 0) revert IsExiting();
        if (amount == 0) revert NothingNew();
        uint96 weight = _weight(s);
        s.amount += amount;
        s.since = Time.timestamp();
        if (s.amount < _minimumStake) revert BelowMinimum(_minimumStake);
        _debit(msg.sender, amount);
        _store(key, weight, s);
        emit Added(key, amount);
    }

    /// @inheritdoc IStakeBook
    function requestExit(address key) external {
        Stake memory s = _owned(key);
        if (s.exitsAt != 0) revert IsExiting();
        uint96 weight = _weight(s);
        s.exitsAt = Time.timestamp() + _exitDelay;
        _store(key, weight, s);
        emit ExitRequested(key, s.exitsAt);
    }

    /// @inheritdoc IStakeBook
    function finishExit(address key) external {
        Stake memory s = _stakes[key];
        if (s.exitsAt == 0) revert NotExiting();
        if (block.timestamp < s.exitsAt) revert TooEarly(s.exitsAt);
        if (s.openCases != 0) revert InCase();
        address owner = _owners[key];
        delete _stakes[key];
        delete _owners[key];
        _credit(owner, s.amount);
        emit Exited(key, owner, s.amount);
    }

    /// @inheritdoc IStakeBook
    function hold(bytes32 caseId, address key) external onlyCourt {
        if (_owners[key] == address(0)) revert NotStaked();
        if (_until[caseId][key] != 0) revert CaseKnown();
        uint48 until = Time.timestamp() + _caseTime;
        _until[caseId][key] = until;
        _stakes[key].openCases += 1;
        emit Held(caseId, key, until);
    }

    /// @inheritdoc IStakeBook
    function release(bytes32 caseId, address key) external onlyCourt {
        _end(caseId, key);
        emit Released(caseId, key);
    }

    /// @inheritdoc IStakeBook
    function lapse(bytes32 caseId, address key) external {
        uint48 until = _end(caseId, key);
        if (block.timestamp <= until) revert TooEarly(uint256(until) + 1);
        emit Released(caseId, key);
    }

    /// @inheritdoc IStakeBook
    function slash(bytes32 caseId, address key, uint96 amount, address victim, address[] calldata verifiers)
        external
        onlyCourt
        returns (uint96 slashed)
    {
        if (block.timestamp > _end(caseId, key)) revert NoCase();
        Stake memory s = _stakes[key];
        slashed = Math.min(amount, uint256(s.amount) * _capBps / BPS).toUint96();
        uint96 weight = _weight(s);
        s.amount -= slashed;
        _store(key, weight, s);
        uint96 toVerifiers = _payBounties(slashed, verifiers);
        uint96 toVictim =
            victim == address(0) ? 0 : (uint256(slashed - toVerifiers) * _victimBps / BPS).toUint96();
        _credit(victim, toVictim);
        uint96 rest = slashed - toVerifiers - toVictim;
        burned += rest;
        emit Slashed(caseId, key, slashed, victim, toVerifiers, toVictim, rest);
    }

    /// @inheritdoc IStakeBook
    function rules() external view returns (Rules memory) {
        return Rules(_minimumStake, _bounty, _exitDelay, _caseTime, _capBps, _victimBps);
    }

    /// @inheritdoc IStakeBook
    function stakeOf(address key) external view returns (Stake memory) {
        return _stakes[key];
    }

    /// @inheritdoc IStakeBook
    function ownerOf(address key) external view returns (address) {
        return _owners[key];
    }

    /// @inheritdoc IStakeBook
    function weightOf(address key) external view returns (uint96) {
        return _weight(_stakes[key]);
    }

    /// @inheritdoc IStakeBook
    function weightBefore(address key, uint48 time) external view returns (uint96) {
        Stake memory s = _stakes[key];
        return s.since < time ? _weight(s) : 0;
    }

    /// @inheritdoc IStakeBook
    function heldUntil(bytes32 caseId, address key) external view returns (uint48) {
        uint48 until = _until[caseId][key];
        return until == OVER ? 0 : until;
    }

    /// @inheritdoc IStakeBook
    function bindDigest(address key, address owner) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(BIND_TYPEHASH, key, owner)));
    }

    /// @dev Ends a case, which is possible only once.
    function _end(bytes32 caseId, address key) private returns (uint48 until) {
        until = _until[caseId][key];
        if (until == 0 || until == OVER) revert NoCase();
        _until[caseId][key] = OVER;
        _stakes[key].openCases -= 1;
    }

    function _payBounties(uint96 slashed, address[] calldata verifiers) private returns (uint96) {
        if (verifiers.length == 0) return 0;
        uint256 each = Math.min(_bounty, slashed / 2 / verifiers.length);
        for (uint256 i = 0; i < verifiers.length; ++i) {
            _credit(verifiers[i], each);
        }
        return (each * verifiers.length).toUint96();
    }

    function _store(address key, uint96 weight, Stake memory s) private {
        _stakes[key] = s;
        totalWeight = totalWeight - weight + _weight(s);
    }

    function _owned(address key) private view returns (Stake memory) {
        if (_owners[key] != msg.sender) revert NotParty();
        return _stakes[key];
    }

    function _weight(Stake memory s) private view returns (uint96) {
        return s.exitsAt != 0 || s.amount < _minimumStake ? 0 : s.amount;
    }
}
