"""A full node: it gathers what providers announce, and answers everybody who asks."""
