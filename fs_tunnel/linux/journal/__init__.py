"""What commands change on the host, written down before it is changed."""
