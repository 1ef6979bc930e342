"""Changes to this host as data that can be done and undone, and the TUN device."""
