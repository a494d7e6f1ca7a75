"""Locks under kills, pauses, cuts and clock steps: histories of many clients are recorded and judged."""
