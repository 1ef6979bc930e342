"""The program in folders that only root can enter, and what it opens there without being root."""
