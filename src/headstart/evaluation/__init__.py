"""Metrics, the numbers of a report, and paired tests of two classifiers."""
