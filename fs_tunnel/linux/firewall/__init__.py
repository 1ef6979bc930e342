"""nftables: the rules of clients, of providers and of lockdown."""
