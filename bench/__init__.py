"""Measurements: ``python -m bench [TARGET ...]``. Every speed stands beside a peer's, taken in the same run."""
