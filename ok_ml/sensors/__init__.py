"""Sensors: new days, conditions, leftovers."""
