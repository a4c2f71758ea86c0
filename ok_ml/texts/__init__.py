"""Texts as numbers: features that are watched, models that score labels, and how good the scores are. Pure."""
