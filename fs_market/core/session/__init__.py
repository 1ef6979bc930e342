"""A paid session without IO: both sides, their states, and what a client buys."""
