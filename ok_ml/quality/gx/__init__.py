"""Expectations of the YAML, run by Great Expectations on the rows of a table."""
