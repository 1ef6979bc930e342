"""The verbs of ``fs-tunnel market``."""
