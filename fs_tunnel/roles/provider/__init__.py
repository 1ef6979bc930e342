"""A provider: it sells places in its tunnel, and announces itself."""
