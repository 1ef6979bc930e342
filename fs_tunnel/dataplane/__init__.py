"""Packets: sealed, opened, counted and limited, by tables that the control plane writes."""
