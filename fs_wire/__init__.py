"""What packages that talk with strangers share: bytes of one meaning, and bounds on them."""
