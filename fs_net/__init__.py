"""The network: clients find providers without having to trust any single full node."""
