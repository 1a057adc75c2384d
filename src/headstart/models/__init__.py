"""Fit, save, load, and apply a classifier."""
