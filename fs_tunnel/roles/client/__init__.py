"""A client: it finds providers, buys places, pays for them, and moves to a standby."""
