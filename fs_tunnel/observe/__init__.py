"""Observe tunnels from outside: logs, metrics and a diagnosis. No module here reads a secret."""
