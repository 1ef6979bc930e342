// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {ILedger} from "./ILedger.sol";

/// @title Stake that a court can reach
/// @notice Stake is kept under a key that works, and belongs to an owner whose key may rest. It leaves only
/// after a delay in which it can still be slashed. One book is for providers, another for verifiers.
interface IStakeBook is ILedger {
    /// @notice Fixed when the book is deployed.
    struct Rules {
        /// @dev Less than this counts as nothing.
        uint96 minimumStake;
        /// @dev What a verifier of a case gets, if half of the penalty suffices for all of them.
        uint96 bounty;
        /// @dev Seconds from the request to the exit.
        uint32 exitDelay;
        /// @dev Seconds that a case, with its appeal, may hold stake.
        uint32 caseTime;
        /// @dev The most that one case takes of a stake, in 1/10,000.
        uint16 capBps;
        /// @dev The victim's share of what bounties leave, in 1/10,000. The rest is burned.
        uint16 victimBps;
    }

    /// @dev One slot, so that a court reads a verifier's standing at once.
    struct Stake {
        uint96 amount;
        /// @dev When the amount last grew, in seconds since the epoch.
        uint48 since;
        /// @dev 0 while no exit was requested.
        uint48 exitsAt;
        uint16 openCases;
    }

    event Registered(address indexed key, address indexed owner, uint96 amount);
    event Added(address indexed key, uint96 amount);
    event ExitRequested(address indexed key, uint48 exitsAt);
    event Exited(address indexed key, address indexed owner, uint96 amount);
    event Held(bytes32 indexed caseId, address indexed key, uint48 until);
    event Released(bytes32 indexed caseId, address indexed key);
    event Slashed(
        bytes32 indexed caseId,
        address indexed key,
        uint96 amount,
        address indexed victim,
        uint96 toVerifiers,
        uint96 toVictim,
        uint96 burned
    );

    /// @notice The rules contradict each other: see SPEC.md.
    error BadRules();
    /// @notice The caller is not the court.
    error NotCourt();
    /// @notice The key has stake already.
    error Exists();
    /// @notice The key has no stake.
    error NotStaked();
    /// @notice It would leave less than the minimum, which is `minimum`.
    error BelowMinimum(uint256 minimum);
    /// @notice The exit was requested.
    error IsExiting();
    /// @notice No exit was requested.
    error NotExiting();
    /// @notice A case holds the stake.
    error InCase();
    /// @notice The case was opened against this key before.
    error CaseKnown();
    /// @notice No such case holds this stake, or its time is over.
    error NoCase();

    /// @notice Stakes `amount` of the caller's account under `key`. The caller becomes its owner.
    /// @param signature The key's, of `Bind`; not looked at where the key is the caller.
    function register(address key, uint96 amount, bytes calldata signature) external;

    /// @notice The owner adds to a stake, whose age starts anew.
    function addStake(address key, uint96 amount) external;

    /// @notice The owner asks for the whole stake. It counts for nothing from here on, but can be slashed.
    function requestExit(address key) external;

    /// @notice Moves the stake to its owner's account, once the delay is over and no case is open. By anybody.
    function finishExit(address key) external;

    /// @notice The court opens a case: the stake cannot leave before it ends, or its time is over.
    function hold(bytes32 caseId, address key) external;

    /// @notice The court ends a case without a penalty.
    function release(bytes32 caseId, address key) external;

    /// @notice Ends a case whose time is over, as if released. By anybody.
    function lapse(bytes32 caseId, address key) external;

    /// @notice The court ends a case in time with a penalty, which goes to accounts and is fetched from there.
    /// @param amount At most; the cap and the stake that is left may allow less.
    /// @param victim May be nobody (0): then its share is burned.
    /// @param verifiers Each gets a bounty. The court chooses them, and bounds their number.
    /// @return slashed What was taken.
    function slash(bytes32 caseId, address key, uint96 amount, address victim, address[] calldata verifiers)
        external
        returns (uint96 slashed);

    function court() external view returns (address);

    function rules() external view returns (Rules memory);

    function stakeOf(address key) external view returns (Stake memory);

    /// @notice Whose stake it is; 0 if there is none.
    function ownerOf(address key) external view returns (address);

    /// @notice What a stake counts for: 0 below the minimum, and from the request of its exit on.
    function weightOf(address key) external view returns (uint96);

    /// @notice The same, if the stake has not grown since `time`: what sampling by a seed of that time uses.
    function weightBefore(address key, uint48 time) external view returns (uint96);

    /// @notice The sum of all weights.
    function totalWeight() external view returns (uint256);

    /// @notice What slashes took out of the world. It stays in this contract, for nobody.
    function burned() external view returns (uint256);

    /// @notice When a case lets go of a stake by itself; 0 where it does not hold it.
    function heldUntil(bytes32 caseId, address key) external view returns (uint48);

    /// @notice What a key signs to stand for an owner's stake.
    function bindDigest(address key, address owner) external view returns (bytes32);
}
