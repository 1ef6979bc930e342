"""The root helper: what stays of a command, one small process a tunnel."""
