"""The chain: reads from its chain nodes, contracts, and transactions."""
