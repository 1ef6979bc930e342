"""Confine a process: it gives up capabilities, system calls and files."""
