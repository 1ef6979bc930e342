"""The engine: one process for each tunnel, which pumps packets and obeys two sockets."""
