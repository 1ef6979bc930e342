"""A paid session without IO: its two sides, their states, and the events for the shells."""
