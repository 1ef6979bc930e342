"""WireGuard without sockets, clocks or randomness: callers pass all three in."""
