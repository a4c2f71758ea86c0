"""Judges of a committed day, of features, drift and lists: they read tables and return findings."""
