"""The host's resolver, and the D-Bus over which it is configured."""
