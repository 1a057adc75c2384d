"""Measure how well a pre-trained network transfers to a data set."""
