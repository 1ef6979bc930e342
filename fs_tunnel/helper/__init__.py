"""The helper: a small process that runs as root beside each tunnel, and cleans up after it."""
