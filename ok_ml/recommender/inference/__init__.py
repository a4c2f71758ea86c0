"""Batch inference: bundles that workers map into memory, one task a part."""
