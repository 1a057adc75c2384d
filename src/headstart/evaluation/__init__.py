"""Metrics, the numbers of a report, and paired tests."""
