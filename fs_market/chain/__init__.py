"""The chain: what is read from its nodes, and how transactions are sent to it."""
