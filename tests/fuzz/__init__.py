"""Every parser of bytes from a network or a user, against bytes that nobody planned."""
