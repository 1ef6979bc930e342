"""A full node for people and programs: HTTP API and page over a ``Catalogue``."""
