"""The network: how providers are found, so that no full node needs to be trusted."""
