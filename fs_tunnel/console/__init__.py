"""The terminal: tables, questions, passwords, and files for their owner alone."""
