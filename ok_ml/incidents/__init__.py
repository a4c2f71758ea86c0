"""Incidents: what is wrong now, reported once to its owners."""
