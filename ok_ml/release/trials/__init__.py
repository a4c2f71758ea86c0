"""Attempts outside production, and the pick among recipes."""
