"""Links, addresses, routes, rules and kernel parameters."""
