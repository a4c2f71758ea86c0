"""Metrics of ranked lists, intervals and paired differences."""
