"""The packet path: seals, opens, counts and limits packets, by the control plane's tables."""
