"""Both agents of a paid session, their streams, and their sessions in the journal."""
