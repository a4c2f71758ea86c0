"""Committed partitions: which there are, events and snapshots of a day, and how they are written."""
