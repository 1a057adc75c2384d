"""Classifiers on frozen features: how they are trained, and how their stages are chosen."""
