"""Networks made of namespaces, for tests that run as root."""
