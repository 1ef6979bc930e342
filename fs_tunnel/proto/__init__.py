"""WireGuard without sockets, clocks or randomness: all three are arguments."""
