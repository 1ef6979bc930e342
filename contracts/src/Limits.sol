// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev The longest close window of a channel, in seconds. The exit delay of stake is longer.
uint32 constant MAX_WINDOW = 7 days;
