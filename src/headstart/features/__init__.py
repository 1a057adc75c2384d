"""Compute the features of images with the frozen network, and store them."""
