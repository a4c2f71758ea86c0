"""Readers of raw files: where a raw table is, what its files are, and its rows as Arrow tables of text and values."""
