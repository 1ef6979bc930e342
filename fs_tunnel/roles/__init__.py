"""What each face of the program does; the verbs in ``cli`` call it."""
