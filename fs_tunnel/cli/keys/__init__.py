"""The verbs that make keys."""
