// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// @dev The longest notice that a channel may give its payee. Stake stays reachable for longer.
uint32 constant MAX_WINDOW = 7 days;
