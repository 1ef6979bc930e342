"""Both agents of a paid session, and what carries their messages."""
