"""The network without IO: what providers say, what of it is believed, and how views converge."""
