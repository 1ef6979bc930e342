"""Changes to this host, as data that commands can do and undo; and the TUN device."""
