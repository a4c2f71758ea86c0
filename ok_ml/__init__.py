"""Production machine learning for recommendation, as one Dagster asset graph."""

__version__ = "0.1.0"
