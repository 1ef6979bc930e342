"""Looking at tunnels from outside: logs, metrics, a diagnosis; nothing here reads a secret."""
