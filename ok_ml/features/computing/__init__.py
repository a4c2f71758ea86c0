"""From events and snapshots to feature tables, in one pass."""
