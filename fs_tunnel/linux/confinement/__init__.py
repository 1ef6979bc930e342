"""What a process gives up: its user, capabilities, system calls and files."""
