"""How the tests of this project run: each scene in a room of its own, several at once."""
