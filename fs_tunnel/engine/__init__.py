"""The engine: one process a tunnel, which pumps packets and obeys two sockets."""
