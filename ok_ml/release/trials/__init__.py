"""Attempts beside production, and the pick among recipes."""
