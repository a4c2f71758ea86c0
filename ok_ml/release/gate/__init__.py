"""Evaluation, the gate, the signed record and its lineage."""
