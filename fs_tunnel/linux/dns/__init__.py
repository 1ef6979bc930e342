"""Configure the host's resolver, in part over D-Bus."""
