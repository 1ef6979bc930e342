"""A full node: it gathers what providers say, and tells it to whoever asks."""
