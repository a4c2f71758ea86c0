"""Pipelines whose predictions are ranked lists of sources, whatever makes the lists."""
