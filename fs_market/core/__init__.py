"""The market without IO: what is owed, what is signed for it, and what either side does next."""
