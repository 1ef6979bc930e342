// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILedger} from "./ILedger.sol";

/// @title Stake that a court can slash
/// @notice Stake is registered under a key that is in daily use. It belongs to an owner, whose key can stay
/// offline. It leaves only after a delay, in which the court can still slash it. One book is for providers,
/// another for verifiers.
interface IStakeBook is ILedger {
    /// @notice Rules that are fixed when the book is deployed.
    struct Rules {
        /// @dev A smaller stake counts as 0.
        uint96 minimumStake;
        /// @dev The bounty of each verifier of a case. All bounties together take at most half of the slash.
        uint96 bounty;
        /// @dev Seconds from the request to the exit.
        uint32 exitDelay;
        /// @dev Seconds for which a case, with its appeal, may hold stake.
        uint32 caseTime;
        /// @dev The largest part of a stake that one case can take, in 1/10,000.
        uint16 capBps;
        /// @dev The victim's share of the slash after bounties, in 1/10,000. The rest is burned.
        uint16 victimBps;
    }

    /// @dev One storage slot, so that a court reads a verifier's stake in one access.
    struct Stake {
        uint96 amount;
        /// @dev The time of the last increase, in seconds since the epoch.
        uint48 since;
        /// @dev The time of the exit, in seconds since the epoch; 0 if no exit was requested.
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
    /// @notice The stake would be less than the minimum, which is `minimum`.
    error BelowMinimum(uint256 minimum);
    /// @notice The exit was requested before.
    error IsExiting();
    /// @notice No exit was requested.
    error NotExiting();
    /// @notice A case holds the stake.
    error InCase();
    /// @notice The case was opened against this key before.
    error CaseKnown();
    /// @notice No such case holds this stake, or the time of the case is over.
    error NoCase();

    /// @notice Stakes `amount` from the caller's account under `key`. The caller becomes the owner of the stake.
    /// @param signature The key's signature of `Bind`. It is ignored if the key is the caller.
    function register(address key, uint96 amount, bytes calldata signature) external;

    /// @notice The owner adds to a stake, and its age starts again.
    function addStake(address key, uint96 amount) external;

    /// @notice The owner asks for the whole stake. From then on it counts as 0, but the court can slash it.
    function requestExit(address key) external;

    /// @notice Moves the stake to its owner's account, if the delay is over and no case is open. Anybody may
    /// call it.
    function finishExit(address key) external;

    /// @notice The court opens a case. The stake cannot leave until the case ends, or its time is over.
    function hold(bytes32 caseId, address key) external;

    /// @notice The court ends a case without a penalty.
    function release(bytes32 caseId, address key) external;

    /// @notice Ends a case whose time is over, without a penalty. Anybody may call it.
    function lapse(bytes32 caseId, address key) external;

    /// @notice The court ends a case in time, with a penalty. The money goes to accounts in this contract.
    /// @param amount The largest penalty; the cap and the remaining stake may reduce it.
    /// @param victim The victim's account, or 0; then its share is burned.
    /// @param verifiers The verifiers who get a bounty. The court chooses them and bounds their number.
    /// @return slashed The amount that was taken.
    function slash(bytes32 caseId, address key, uint96 amount, address victim, address[] calldata verifiers)
        external
        returns (uint96 slashed);

    function court() external view returns (address);

    function rules() external view returns (Rules memory);

    function stakeOf(address key) external view returns (Stake memory);

    /// @notice The owner of a stake, or 0 if there is none.
    function ownerOf(address key) external view returns (address);

    /// @notice The weight of a stake. It is 0 if the stake is below the minimum, or if its exit was requested.
    function weightOf(address key) external view returns (uint96);

    /// @notice The weight of a stake that did not grow at or after `time`, otherwise 0. Sampling by a seed of
    /// that time uses it.
    function weightBefore(address key, uint48 time) external view returns (uint96);

    /// @notice The sum of all weights.
    function totalWeight() external view returns (uint256);

    /// @notice The total that slashes burned. It stays in this contract and belongs to nobody.
    function burned() external view returns (uint256);

    /// @notice The time at which a case stops holding a stake by itself, or 0 if it does not hold the stake.
    function heldUntil(bytes32 caseId, address key) external view returns (uint48);

    /// @notice The digest that a key signs to accept an owner.
    function bindDigest(address key, address owner) external view returns (bytes32);
}
