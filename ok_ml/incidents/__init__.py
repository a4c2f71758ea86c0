"""Incidents: what is wrong now, told once to those whom it concerns."""
