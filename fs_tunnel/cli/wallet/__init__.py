"""The verbs of ``fs-tunnel wallet``."""
