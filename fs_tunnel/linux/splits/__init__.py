"""Run programs inside or outside of a tunnel, for ``fs-tunnel run``."""
